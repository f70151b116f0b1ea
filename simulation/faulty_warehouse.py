"""The warehouse as a process of the simulated world reaches it: over a network, when it is up."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Final, TypeVar

from pipeline.consume.batch import Account, Reject
from pipeline.consume.ports import Contended
from pipeline.contract import Feed
from pipeline.masking.keyring import Keyring
from pipeline.masking.vault import VaultRow
from simulation import contract
from simulation.faults import BEGIN, COMMIT, Fault
from simulation.process import Process
from simulation.warehouse import MemoryTransaction, MemoryWarehouse, Store, unavailable

_Done = TypeVar("_Done")

_WRITES: Final = {"check", "insert", "quarantine", "record"}


class Health(StrEnum):
    """How the database is."""

    WELL = "well"
    DOWN = "down"
    READ_ONLY = "read-only"  # as after a failover


class Database:
    """The server behind all warehouses.

    Attributes:
        store: What is committed.
        health: How it is.
        sick_since: When it was last found well or ceased to be.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.health = Health.WELL
        self.sick_since = store.now()

    def turn(self, health: Health) -> None:
        """Changes how it is."""
        if self.health is Health.WELL:
            self.sick_since = self.store.now()
        self.health = health


class FaultyWarehouse:
    """The port of the core, for one process.

    Args:
        process: Whose it is.
        database: The server.
        feed: The contract.
        look: Told of what is about to be quarantined.
    """

    def __init__(
        self,
        process: Process,
        database: Database,
        feed: Feed,
        look: Callable[[Sequence[Reject]], None],
    ) -> None:
        self.look = look
        self._process = process
        self._database = database
        self._feed = feed
        self._memory = MemoryWarehouse(feed, contract.KEYRING, database.store)

    def check(self) -> Keyring:
        """As the port says."""
        return self.call("check", self._memory.check)

    def find_settled(self, keys: Sequence[bytes]) -> frozenset[bytes]:
        """As the port says."""
        try:
            return self.call("compare", lambda: self._memory.find_settled(keys))
        except Contended as contended:  # a query on its own: nobody tries it again
            self._process.troubled = True
            raise contended.error from None

    @contextmanager
    def begin(self) -> Iterator["_Transaction"]:
        """As the port says."""
        opened = self.call(BEGIN, lambda: MemoryTransaction(self._feed, self._database.store))
        try:
            yield _Transaction(self, opened)
            self._commit(opened)
        finally:
            opened.close()

    def call(self, operation: str, work: Callable[[], _Done]) -> _Done:
        """A statement: it may fail, or be the last one of the process."""
        fault = self._process.enter(operation)
        self._must_be_well(operation)
        if fault is Fault.REFUSED:
            self._process.suffer(fault)
            raise unavailable("the connection is lost")
        self._contend(fault)
        done = work()
        self._process.leave(fault)
        return done

    def _commit(self, opened: MemoryTransaction) -> None:
        fault = self._process.enter(COMMIT)
        self._must_be_well(COMMIT)
        self._contend(fault)
        if fault is Fault.COMMIT_REFUSED:
            self._process.suffer(fault)
            raise unavailable("the commit did not arrive")
        opened.commit()
        self._process.leave(fault)
        if fault is Fault.COMMIT_LOST:
            self._process.suffer(fault)
            raise unavailable("the answer to the commit did not arrive")

    def _must_be_well(self, operation: str) -> None:
        health = self._database.health
        if health is Health.DOWN or (health is Health.READ_ONLY and operation in _WRITES):
            self._process.troubled = True
            raise unavailable(f"the database is {health}")

    def _contend(self, fault: Fault | None) -> None:
        if fault is Fault.CONTENDED:
            self._process.endure(fault)
            raise Contended(unavailable("a deadlock"))


class _Transaction:
    """The transaction as the core has it."""

    def __init__(self, warehouse: FaultyWarehouse, opened: MemoryTransaction) -> None:
        self._call = warehouse.call
        self._look = warehouse.look
        self._opened = opened

    def stage(self, rows: Iterable[tuple[object, ...]], vault: Sequence[VaultRow]) -> None:
        self._call("stage", lambda: self._opened.stage(rows, vault))

    def insert(self, first: int, end: int) -> tuple[int, int]:
        return self._call("insert", lambda: self._opened.insert(first, end))

    def compare(self) -> list[tuple[int, bool]]:
        return self._call("compare", self._opened.compare)

    def count_quarantined(self, keys: Sequence[bytes]) -> int:
        return self._call("compare", lambda: self._opened.count_quarantined(keys))

    def quarantine(self, rejects: Sequence[Reject], keyring: Keyring) -> Counter[str]:
        self._look(rejects)
        return self._call("quarantine", lambda: self._opened.quarantine(rejects, keyring))

    def record(self, account: Account, run_id: str, batch_id: str) -> None:
        self._call("record", lambda: self._opened.record(account, run_id, batch_id))
