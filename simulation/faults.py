"""What can go wrong at a call of a process, and which faults wait for one to strike at."""

import random
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pipeline.local.queue import faults as queue_faults

RECEIVE: Final = "ReceiveMessage"
DELETE: Final = "DeleteMessageBatch"
HIDE: Final = "ChangeMessageVisibilityBatch"
SEND: Final = "SendMessageBatch"
BEGIN: Final = "begin"
COMMIT: Final = "commit"

QUEUE_CALLS: Final = frozenset({RECEIVE, DELETE, HIDE, SEND})
STATEMENTS: Final = frozenset({BEGIN, "stage", "insert", "compare", "quarantine", "record"})
WAREHOUSE_CALLS: Final = STATEMENTS | {"check", COMMIT}


class Fault(StrEnum):
    """Something that goes wrong with one call."""

    # The process
    KILLED_BEFORE = "killed before a call"
    KILLED_AFTER = "killed after a call"
    SLOW = "a call takes longer than messages stay hidden"
    STOPPED = "stopped in a call, and woken later"
    MEANWHILE = "another run goes on during a call"
    # The queue
    THROTTLED = "throttled"
    UNREACHED = "the queue does not hear a call"
    ANSWER_LOST = "the queue's answer is lost"
    IN_PART = "a part of a batch fails"
    FOR_GOOD = "a part of a batch fails for good"
    DONE_YET_FAILED = "a part of a batch is done and said to have failed"
    TWICE = "a message twice in one answer"
    EARLY = "received messages are visible at once"
    UNDELETED = "a deleted message is delivered again"
    REORDERED = "messages change places"
    SHORT = "a short answer"
    EMPTY = "an empty answer"
    # The warehouse
    REFUSED = "the database refuses a statement"
    CONTENDED = "a transaction loses against another"
    COMMIT_REFUSED = "the database refuses the commit"
    COMMIT_LOST = "the answer to the commit is lost"


SPOILS: Final[Mapping[Fault, queue_faults.AnyEffect]] = {
    Fault.IN_PART: queue_faults.Part(),
    Fault.FOR_GOOD: queue_faults.Part(code="ReceiptHandleIsInvalid", sender_fault=True),
    Fault.DONE_YET_FAILED: queue_faults.Part(done=True),
    Fault.TWICE: queue_faults.Duplicate(),
    Fault.EARLY: queue_faults.Redeliver(),
    Fault.UNDELETED: queue_faults.Undelete(),
    Fault.REORDERED: queue_faults.Reorder(),
    Fault.SHORT: queue_faults.Short(),
}
"""The faults that are effects of the embedded queue."""

_EVERY: Final = QUEUE_CALLS | WAREHOUSE_CALLS
_BATCHES: Final = frozenset({DELETE, HIDE})
_STRIKES: Final[Mapping[Fault, frozenset[str]]] = {
    Fault.KILLED_BEFORE: _EVERY,
    Fault.KILLED_AFTER: _EVERY,
    Fault.SLOW: _EVERY,
    Fault.STOPPED: _EVERY,
    Fault.MEANWHILE: _EVERY,
    Fault.THROTTLED: QUEUE_CALLS,
    Fault.UNREACHED: QUEUE_CALLS,
    Fault.ANSWER_LOST: QUEUE_CALLS,
    Fault.IN_PART: _BATCHES,
    Fault.FOR_GOOD: _BATCHES,
    Fault.DONE_YET_FAILED: _BATCHES,
    Fault.TWICE: frozenset({RECEIVE}),
    Fault.EARLY: frozenset({RECEIVE}),
    Fault.UNDELETED: frozenset({DELETE}),
    Fault.REORDERED: frozenset({RECEIVE}),
    Fault.SHORT: frozenset({RECEIVE}),
    Fault.EMPTY: frozenset({RECEIVE}),
    Fault.REFUSED: STATEMENTS | {"check"},
    Fault.CONTENDED: STATEMENTS | {COMMIT},
    Fault.COMMIT_REFUSED: frozenset({COMMIT}),
    Fault.COMMIT_LOST: frozenset({COMMIT}),
}


class _Waiting:
    def __init__(self, fault: Fault, calls: int) -> None:
        self.fault = fault
        self.calls = calls


class Faults:
    """The faults that wait for a call, and those that have struck.

    Args:
        rng: Chance for what an effect draws.

    Attributes:
        struck: How often each kind has had an effect.
    """

    def __init__(self, rng: random.Random, struck: Counter[str]) -> None:
        self.rng = rng
        self.struck = struck
        self._waiting: list[_Waiting] = []

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def arm(self, fault: Fault, calls: int) -> None:
        """Has a fault strike at a call of its kind, after so many of them."""
        self._waiting.append(_Waiting(fault, calls))

    def disarm(self) -> None:
        """Nothing goes wrong any more."""
        self._waiting.clear()

    def take(self, operation: str, spared: frozenset[Fault]) -> Fault | None:
        """What goes wrong with this call, if it is none of those that it is spared."""
        found = None
        for each in self._waiting:
            if operation not in _STRIKES[each.fault] or each.fault in spared:
                continue
            if each.calls == 0 and found is None:
                found = each
            each.calls = max(0, each.calls - 1)
        if found is None:
            return None
        self._waiting.remove(found)
        return found.fault

    def strike(self, fault: Fault) -> None:
        """Counts a fault that has had an effect."""
        self.struck[fault.value] += 1
