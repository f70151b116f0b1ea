"""A warehouse in memory, with the semantics of its transactions in Postgres."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipeline.consume.batch import Account, Reject
from pipeline.consume.ports import RowRefused
from pipeline.consume.settlement import quarantine_key
from pipeline.contract import Feed
from pipeline.errors import WarehouseUnavailable
from pipeline.masking.keyring import Keyring
from pipeline.masking.vault import VaultRow
from pipeline.messages import Message
from pipeline.reasons import Reason

Row = dict[str, object]
"""A row of the feed's table, by column."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the quarantine holds of a message."""

    message: Message
    reason: Reason
    field: str | None


@dataclass(frozen=True, slots=True)
class Batch:
    """The account of a batch beside what its transaction has really brought in."""

    account: Account
    run_id: str
    loaded: int
    quarantined: int


@dataclass(slots=True)
class Store:
    """All that is committed, and who is about to change what.

    Attributes:
        now: The time of the database, in seconds.
        refuses: Says of a row whether the table refuses it.
        ledger: Content and time by key.
        rows: The feed's table.
        quarantine: By key.
        batches: The accounts, in the order of their commits.
    """

    now: Callable[[], float]
    refuses: Callable[[Mapping[str, object]], bool]
    ledger: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    quarantine: dict[bytes, Entry] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    _locks: dict[Hashable, object] = field(default_factory=dict)

    def lock(self, name: Hashable, owner: object) -> None:
        """Takes what a transaction writes for its own until it ends.

        Raises:
            WarehouseUnavailable: Another one has it, and goes on for longer than a lock is waited
                for: nothing else goes on while this one waits.
        """
        if self._locks.setdefault(name, owner) is not owner:
            raise unavailable("a lock is held for too long")

    def unlock(self, owner: object) -> None:
        """Gives back all that a transaction has taken."""
        self._locks = {name: held for name, held in self._locks.items() if held is not owner}

    def prune_ledger(self, days: float) -> None:
        """Forgets what was settled more than so many days ago."""
        oldest = self.now() - days * 86_400
        self.ledger = {key: it for key, it in self.ledger.items() if it[1] >= oldest}


def unavailable(what: str) -> WarehouseUnavailable:
    """The error of a database that does not do its work for now."""
    return WarehouseUnavailable(what, remedy="Wait")


class MemoryWarehouse:
    """The port over a store; nothing goes wrong here but what stands in rows and locks.

    Args:
        feed: The contract.
        keyring: The keys.
        store: Where everything is.
    """

    def __init__(self, feed: Feed, keyring: Keyring, store: Store) -> None:
        self._feed = feed
        self._keyring = keyring
        self._store = store

    def check(self) -> Keyring:
        """As the port says."""
        return self._keyring

    def find_settled(self, keys: Sequence[bytes]) -> frozenset[bytes]:
        """As the port says."""
        return frozenset(keys) & self._store.ledger.keys()

    @contextmanager
    def begin(self) -> Iterator["MemoryTransaction"]:
        """As the port says."""
        transaction = MemoryTransaction(self._feed, self._store)
        try:
            yield transaction
            transaction.commit()
        finally:
            transaction.close()


class MemoryTransaction:
    """One transaction, READ COMMITTED: it sees what is committed by now, and its own."""

    def __init__(self, feed: Feed, store: Store) -> None:
        self._names = [each.name for each in feed.columns]
        self._store = store
        self._incoming: list[tuple[bytes, bytes, Row]] = []
        self._ledger: dict[bytes, bytes] = {}
        self._rows: list[Row] = []
        self._quarantine: dict[bytes, Entry] = {}
        self._batches: list[Batch] = []

    def stage(self, rows: Iterable[tuple[object, ...]], vault: Sequence[VaultRow]) -> None:
        """As the port says; there is no vault."""
        assert not vault, "the memory warehouse keeps no vault"  # noqa: S101 - its limit
        for _, key, content, *values in rows:
            assert isinstance(key, bytes)  # noqa: S101 - as the core has it
            assert isinstance(content, bytes)  # noqa: S101 - as the core has it
            self._incoming.append((key, content, dict(zip(self._names, values, strict=True))))

    def insert(self, first: int, end: int) -> tuple[int, int]:
        """As the port says: one statement, which does all or nothing."""
        new: dict[bytes, bytes] = {}
        for key, content, _ in self._incoming[first:end]:
            self._store.lock(("ledger", key), self)
            if key not in self._store.ledger and key not in self._ledger:
                new.setdefault(key, content)
        # A key that stands twice in the batch brings both rows along, as the join in SQL does.
        rows = [row for key, _, row in self._incoming if key in new]
        if any(self._store.refuses(row) for row in rows):
            raise RowRefused("a constraint of the table")
        self._ledger |= new
        self._rows += rows
        return len(new), len(rows)

    def compare(self) -> list[tuple[int, bool]]:
        """As the port says."""
        known = {key: content for key, (content, _) in self._store.ledger.items()} | self._ledger
        return [
            (position, known[key] == content)
            for position, (key, content, _) in enumerate(self._incoming)
            if key in known
        ]

    def count_quarantined(self, keys: Sequence[bytes]) -> int:
        """As the port says."""
        return len(set(keys) & (self._store.quarantine.keys() | self._quarantine.keys()))

    def quarantine(self, rejects: Sequence[Reject], keyring: Keyring) -> Counter[str]:
        """As the port says; nothing is sealed in memory."""
        del keyring
        new: Counter[str] = Counter()
        for key, reject in {quarantine_key(each.entry): each for each in rejects}.items():
            self._store.lock(("quarantine", key), self)
            if not self.count_quarantined([key]):
                self._quarantine[key] = Entry(reject.entry.message, reject.reason, reject.field)
                new[reject.reason.value] += 1
        return new

    def record(self, account: Account, run_id: str, batch_id: str) -> None:
        """As the port says; nobody here asks for a batch by its id."""
        del batch_id
        self._batches.append(Batch(account, run_id, len(self._rows), len(self._quarantine)))

    def commit(self) -> None:
        """Shows all of it to everybody."""
        now = self._store.now()
        self._store.ledger |= {key: (content, now) for key, content in self._ledger.items()}
        self._store.rows += self._rows
        self._store.quarantine |= self._quarantine
        self._store.batches += self._batches

    def close(self) -> None:
        """Ends it; what is not committed never was."""
        self._store.unlock(self)
