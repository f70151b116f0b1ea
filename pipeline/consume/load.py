"""Settles a masked batch in one transaction: rows, ledger, quarantine and account together.

How one row comes of many deliveries: docs/decisions/0003-exactly-once-from-at-least-once.md.
"""

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.consume.batch import EVIDENCE, Account, Decoded, Entry, Reject
from pipeline.consume.ports import (
    CHANCE,
    CLOCK,
    Chance,
    Clock,
    Contended,
    RowRefused,
    Transaction,
    Warehouse,
)
from pipeline.consume.settlement import quarantine_key
from pipeline.contract import Feed
from pipeline.crash_points import CrashPoint, reach
from pipeline.errors import AccountError, TableMismatch
from pipeline.masking.keyring import Keyring
from pipeline.reasons import Reason

_ATTEMPTS = 5
_FIRST_PAUSE = 0.05  # seconds; doubles, with jitter
_MANY_ALIKE = 100  # on the way through a batch, where the good rows may be yet to come


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Load:
    """A masked batch, and what is needed to settle it.

    Attributes:
        feed: The contract.
        batch: The batch; its frame holds masked values only.
        keyring: Seals the bodies of what goes to the quarantine.
        run_id: The run that settles it, for the account.
        evidence: From how many rows on, all refused alike and no others, it is the table's fault.
        batch_id: Under which the account is kept, a UUID.
    """

    feed: Feed
    batch: Decoded
    keyring: Keyring
    run_id: str
    evidence: int = EVIDENCE
    batch_id: str = field(default_factory=lambda: str(uuid.uuid4()))


def settle(
    load: Load,
    warehouse: Warehouse,
    clock: Clock = CLOCK,
    *,
    chance: Chance = CHANCE,
    rejected: Callable[[Sequence[Reject]], None] | None = None,
) -> Account:
    """Settles the batch; when this returns, it has committed.

    A transaction that loses against another one is tried again as a whole.

    Args:
        load: The batch.
        warehouse: Where it goes.
        clock: The time.
        chance: Where jitter comes from.
        rejected: Told what went to the quarantine, once it is committed.

    Raises:
        WarehouseUnavailable: Also where the answer to COMMIT was lost: whether the batch is in
            is then not known, and its redelivery will tell by the ledger.
        TableMismatch: The table refuses the batch, whatever the row.
        AccountError: The counts do not add up; nothing was committed.
    """
    attempt = 0
    while True:
        attempt += 1
        try:
            with warehouse.begin() as transaction:
                settling = _Settling(load, transaction)
                account = settling.settle()
                reach(CrashPoint.BEFORE_COMMIT)
            reach(CrashPoint.AFTER_COMMIT)
        except Contended as contended:
            if attempt == _ATTEMPTS:
                raise contended.error from None
        else:
            settling.tell()
            if rejected is not None:
                rejected(settling.rejects)
            return account
        clock.pause(_FIRST_PAUSE * 2**attempt * chance.uniform(0.5, 1.5))


@dataclass(frozen=True, slots=True)
class _Offender:
    position: int
    cause: str


class _Settling:
    """One attempt, within a transaction that commits it or undoes it."""

    def __init__(self, load: Load, transaction: Transaction) -> None:
        self._load = load
        self._feed = load.feed
        self._transaction = transaction
        # In key order, so that two runs never wait for each other in a circle.
        entries = load.batch.entries
        self._order = sorted(range(len(entries)), key=lambda place: entries[place].key)
        self._offenders: list[_Offender] = []
        self._loaded = 0
        self._passed = 0  # rows that the table took, or the ledger knew
        self.rejects: Sequence[Reject] = ()

    def settle(self) -> Account:
        reach(CrashPoint.AFTER_BEGIN)
        self._transaction.stage(self._rows(), self._load.batch.vault)
        reach(CrashPoint.AFTER_STAGE)
        self._insert(0, len(self._order))
        self._consider_the_table(self._load.evidence)
        # Where the table took every row, the ledger knew none of them before.
        is_new = self._loaded == len(self._order)
        known = [] if is_new else self._transaction.compare()
        self.rejects = rejects = [
            *self._load.batch.rejects,
            *(Reject(self._entry(o.position), Reason.REFUSED_BY_DATABASE) for o in self._offenders),
            *(Reject(self._entry(place), Reason.CONFLICT) for place, same in known if not same),
        ]
        quarantined = self._transaction.quarantine(rejects, self._load.keyring)
        reach(CrashPoint.AFTER_QUARANTINE)
        settled_before = 0 if is_new else sum(same for _, same in known) - self._loaded
        account = Account(
            received=self._load.batch.received,
            loaded=self._loaded,
            duplicate=self._load.batch.duplicates
            + settled_before
            + (len(rejects) - quarantined.total()),
            quarantined=quarantined,
            released=self._load.batch.released,
        )
        if not account.adds_up:
            raise AccountError(
                f"the account of this batch does not add up: {account}",
                remedy="Nothing was committed; look for a trigger or a rule on the tables",
                feed=self._feed.name,
            )
        self._transaction.record(account, self._load.run_id, self._load.batch_id)
        return account

    def tell(self) -> None:
        """Tells for which causes the table has refused rows, in names: nothing else keeps them."""
        causes = Counter(offender.cause for offender in self._offenders)
        for cause, count in causes.items():
            _log.warning("%d rows refused by table %s: %s", count, self._feed.table, cause)

    def _entry(self, position: int) -> Entry:
        return self._load.batch.entries[self._order[position]]

    def _rows(self) -> Iterator[tuple[object, ...]]:
        """Each row with its position, key, content and masked values."""
        frame = self._load.batch.frame.iloc[self._order]
        values = [frame[each.name].tolist() for each in self._feed.columns]
        entries = [self._entry(position) for position in range(len(self._order))]
        keys = [entry.key for entry in entries]
        contents = [entry.content for entry in entries]
        return zip(range(len(entries)), keys, contents, *values, strict=True)

    def _insert(self, first: int, end: int) -> None:
        """Moves a range of rows into ledger and table; splits it where one row is refused."""
        if first == end:
            return
        try:
            settled, inserted = self._transaction.insert(first, end)
        except RowRefused as refused:
            if end - first == 1:
                self._isolate(first, refused.cause)
                return
            middle = (first + end) // 2
            self._insert(first, middle)
            self._insert(middle, end)
            return
        reach(CrashPoint.AFTER_INSERT)
        if settled != inserted:
            raise AccountError(
                f"table {self._feed.table} took {inserted} of {settled} rows without an error",
                remedy="Look for a trigger or a rule that drops rows; nothing was committed",
                feed=self._feed.name,
            )
        self._loaded += inserted
        self._passed += end - first

    def _isolate(self, position: int, cause: str) -> None:
        self._offenders.append(_Offender(position, cause))
        if len(self._offenders) % _MANY_ALIKE == 0:  # to isolate each of thousands takes minutes
            self._consider_the_table(_MANY_ALIKE)

    def _consider_the_table(self, enough: int) -> None:
        """Stops where that many rows, and no others, were refused for one and the same cause.

        What lies in the quarantine already was refused by a batch that did commit, and comes
        again because its acknowledgement was lost: it proves nothing.
        """
        causes = {offender.cause for offender in self._offenders}
        if self._passed or len(self._offenders) < enough or len(causes) > 1:
            return
        keys = [quarantine_key(self._entry(offender.position)) for offender in self._offenders]
        if len(keys) - self._transaction.count_quarantined(keys) < enough:
            return
        raise TableMismatch(
            f"table {self._feed.table} refuses one row after the other ({causes.pop()})",
            remedy="Compare the table's constraints with the contract; "
            "the messages stay on the queue",
            feed=self._feed.name,
        )
