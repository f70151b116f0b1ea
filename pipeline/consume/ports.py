"""What the consumer's core asks of the outside: a queue, a warehouse, and the time.

The core decides what is received, settled, acknowledged and released; nothing in it knows boto3,
SQL or the machine's clock. `Queue` stands in `pipeline.messages`.
"""

import contextvars
import functools
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol

from pipeline.consume.batch import Account, Reject
from pipeline.errors import WarehouseError
from pipeline.masking.keyring import Keyring
from pipeline.masking.vault import VaultRow
from pipeline.messages import Message


class Repeated(Protocol):
    """Something that happens again and again."""

    def stop(self) -> None:
        """Ends it; when this returns, it does not happen any more."""


class Clock(Protocol):
    """The time of one machine, which never goes back."""

    def monotonic(self) -> float:
        """Seconds since some moment."""

    def pause(self, seconds: float) -> None:
        """Lets so many seconds pass."""

    def every(self, seconds: float, act: Callable[[], bool]) -> Repeated:
        """Does something after so many seconds, and again, for as long as it returns True."""


class Chance(Protocol):
    """Where jitter comes from."""

    def uniform(self, a: float, b: float) -> float:
        """A number from `a` to `b`."""


class RowRefused(Exception):
    """The table refused a part of the batch for what stands in one of its rows.

    Attributes:
        cause: Which constraint or type, by name; never a value.
    """

    def __init__(self, cause: str) -> None:
        self.cause = cause
        super().__init__(cause)


class Contended(Exception):
    """A transaction lost against another one, and would pass if it were tried again.

    Attributes:
        error: What to raise once it has been tried often enough.
    """

    def __init__(self, error: WarehouseError) -> None:
        self.error = error
        super().__init__(str(error))


class Transaction(Protocol):
    """One transaction of the warehouse: all of it, or nothing, is ever to be seen."""

    def stage(self, rows: Iterable[tuple[object, ...]], vault: Sequence[VaultRow]) -> None:
        """Takes the batch in: each row with its position, key, content and masked values."""

    def insert(self, first: int, end: int) -> tuple[int, int]:
        """Moves the rows from one position up to another into ledger and table.

        Returns:
            How many the ledger did not know, and how many of them the table took.

        Raises:
            RowRefused: The table refused one of them; then none has been moved.
        """

    def compare(self) -> list[tuple[int, bool]]:
        """The positions that the ledger knows, and whether it knows them with this content."""

    def count_quarantined(self, keys: Sequence[bytes]) -> int:
        """How many of these keys lie in the quarantine."""

    def quarantine(self, rejects: Sequence[Reject], keyring: Keyring) -> Counter[str]:
        """Puts rejects into the quarantine; how many were new, by reason code.

        Raises:
            AccountError: One is not there afterwards.
        """

    def record(self, account: Account, run_id: str, batch_id: str) -> None:
        """Keeps the account of the batch, under an id of its own."""


class Warehouse(Protocol):
    """The warehouse of one feed."""

    def check(self) -> Keyring:
        """Makes sure that a batch could be settled now, before anything is received.

        Raises:
            WarehouseError: It could not.
            KeyringError: The keyring is missing or not the one.
        """

    def find_settled(self, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Those of the keys that the ledger knows.

        Raises:
            WarehouseError: Postgres is down or refuses.
        """

    def begin(self) -> AbstractContextManager[Transaction]:
        """A transaction, which commits where its block ends without an error.

        Raises:
            Contended: Also on leaving the block.
            WarehouseUnavailable: Also where the answer to the commit was lost: whether it has
                committed is then not known.
            TableMismatch: The table or a right is not as it was.
        """


class Trace(Protocol):
    """The trace of one batch. No call of it fails, and moments are those of the run's clock."""

    @property
    def trace_id(self) -> str | None:
        """Its id; None where its spans are not kept."""

    @property
    def wanted(self) -> Collection[str]:
        """Receipts of the messages whose outcome is asked for; a bounded number."""

    def stage(self, name: str, began: float, ended: float) -> None:
        """A stage is over."""

    def became(self, outcomes: Mapping[str, str], at: float) -> None:
        """What became of messages, by receipt, as it was committed at a moment."""

    def end(self, counts: Mapping[str, int]) -> None:
        """The batch is acknowledged; whatever has no outcome yet repeats another message of it."""

    def fail(self, stage: str, error: BaseException) -> None:
        """The batch is given up at a stage; whatever has no outcome yet was released."""


class Traces(Protocol):
    """The traces of one run."""

    def begin(
        self, batch_id: str, messages: Sequence[Message], began: float, now: float
    ) -> Trace | None:
        """The trace of a batch that was received from one moment to another; None for none."""

    def flush(self) -> None:
        """Sends what there is, and does not wait long."""


class _Thread:
    """Repeats something in a thread of its own."""

    def __init__(self, seconds: float, act: Callable[[], bool]) -> None:
        self._seconds = seconds
        self._act = act
        self._over = threading.Event()
        # A daemon: a process that is to end does not wait for it.
        # It logs under the ids of the run that it belongs to.
        run = functools.partial(contextvars.copy_context().run, self._run)
        self._thread = threading.Thread(target=run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds) and self._act():
            pass


class MachineClock:
    """This machine's own time."""

    def monotonic(self) -> float:
        """As `time.monotonic`."""
        return time.monotonic()

    def pause(self, seconds: float) -> None:
        """Sleeps."""
        time.sleep(seconds)

    def every(self, seconds: float, act: Callable[[], bool]) -> Repeated:
        """In a thread of its own."""
        return _Thread(seconds, act)


CLOCK: Final[Clock] = MachineClock()
"""What runs go by, outside simulations."""

CHANCE: Final[Chance] = random.SystemRandom()
"""What runs draw their jitter from, outside simulations."""
