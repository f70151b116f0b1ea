"""What a run holds: kept invisible by a heartbeat until it is acknowledged or released."""

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

from pipeline import log_ids
from pipeline.consume.ports import CLOCK, Clock
from pipeline.contract import Limits
from pipeline.crash_points import CrashPoint, reach
from pipeline.errors import QueueUnreachable, told
from pipeline.messages import Calls, Message, Queue, Refusals

_BATCH = 10  # entries of a batch call, the limit of SQS
_ATTEMPTS = 3
_PAUSE = 0.1  # seconds; doubles
_FIRST_RELEASE = 10  # seconds; doubles with each delivery
_LONGEST_RELEASE = 900
# What comes back so often has met an outage of more than an hour. Another hour is bearable then,
# and 20 deliveries last for 11 hours instead of 3.
_MANY_DELIVERIES = 10
_AFTER_MANY = 3600

_log = logging.getLogger(__name__)


def tens(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The messages in the portions that a batch call takes."""
    for start in range(0, len(messages), _BATCH):
        yield messages[start : start + _BATCH]


def release_pause(receive_count: int) -> int:
    """Seconds for which a message is hidden that is given back after so many deliveries."""
    if receive_count > _MANY_DELIVERIES:
        return _AFTER_MANY
    return min(_FIRST_RELEASE << max(receive_count - 1, 0), _LONGEST_RELEASE)


class Held:
    """The messages of one run, from their receipt to their acknowledgement or release.

    A heartbeat extends the visibility of each message at half its timeout. It lets go after
    `hold_seconds`, so that a run that hangs does not keep its messages for ever.
    """

    def __init__(self, queue: Queue, limits: Limits, clock: Clock = CLOCK) -> None:
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._hidden_at: dict[str, float] = {}
        self._messages: dict[str, Message] = {}
        self._over = threading.Event()
        self._unreachable = threading.Event()
        self._noted: set[str] = set()
        self._last = clock.monotonic() + limits.hold_seconds
        self._half = limits.visibility_seconds / 2
        self._heart = clock.every(self._half / 4, self._beat)

    def add(self, messages: Sequence[Message]) -> None:
        """Takes messages into care, hidden since now."""
        now = self._clock.monotonic()
        with self._lock:
            for message in messages:
                self._messages[message.receipt] = message
                self._hidden_at[message.receipt] = now

    def acknowledge(self, keep: Sequence[Message] = ()) -> int:
        """Deletes from the queue what is held; only ever called after its commit.

        Refusals that may pass are tried again. What SQS keeps all the same is not an error, and
        nothing else is one here either: the ledger makes a redelivery harmless.

        Args:
            keep: What has not been committed yet, and goes on being held.

        Returns:
            How many messages SQS did not delete.
        """
        kept = {message.receipt for message in keep}
        done = [message for message in self._all() if message.receipt not in kept]
        self._begin_anew()
        try:
            return self._delete(done)
        finally:
            if not kept:
                self.close()

    def release(self) -> int:
        """Gives everything back, to be delivered again after a back-off; never raises.

        What SQS does not take back comes back by itself, when its visibility ends.

        Returns:
            How many messages SQS has taken back.
        """
        messages = self._all()
        self.close()
        return self._show_later(messages)

    def give_back(self, messages: Sequence[Message]) -> int:
        """Gives some back as `release` does, and goes on holding the others.

        Nothing of them is acknowledged or extended any more, whatever SQS answers.

        Returns:
            How many messages SQS has taken back.
        """
        with self._lock:
            for message in messages:
                self._forget(message)
        return self._show_later(messages)

    @property
    def seconds_left(self) -> float:
        """How long the heart goes on beating at most."""
        return self._last - self._clock.monotonic()

    def _show_later(self, messages: Sequence[Message]) -> int:
        self._begin_anew()
        by_pause: dict[int, list[Message]] = {}
        for message in messages:
            by_pause.setdefault(release_pause(message.receive_count), []).append(message)
        calls = [(ten, pause) for pause, some in by_pause.items() for ten in tens(some)]
        ids = log_ids.current()
        with ThreadPoolExecutor(
            self._limits.receivers, initializer=log_ids.adopt, initargs=(ids,)
        ) as pool:
            return sum(pool.map(lambda call: self._hide(*call), calls))

    @contextmanager
    def released_on_failure(self) -> Iterator[None]:
        """Releases everything where the block fails or is interrupted."""
        try:
            yield
        except BaseException:
            held = len(self._all())
            _log.warning("released %d of %d messages; all come again", self.release(), held)
            raise

    def close(self) -> None:
        """Stops the heartbeat and forgets what is held."""
        self._over.set()
        self._heart.stop()
        with self._lock:
            self._messages.clear()
            self._hidden_at.clear()

    def _all(self) -> list[Message]:
        with self._lock:
            return list(self._messages.values())

    def _delete(self, messages: Sequence[Message]) -> int:
        """Deletes messages, whatever it takes; returns how many SQS kept."""
        kept, rest = 0, list(messages)
        with closing(self._queue.deletes(self._limits.receivers)) as calls:
            for attempt in range(_ATTEMPTS):
                if attempt:
                    self._clock.pause(_PAUSE * 2**attempt)
                refused, rest = self._delete_once(calls, rest)
                kept += refused
                if not rest:
                    break
        self._drop(rest)
        return kept + len(rest)

    def _delete_once(
        self, calls: Calls[Sequence[Message], Refusals[Message]], messages: list[Message]
    ) -> tuple[int, list[Message]]:
        """One attempt.

        Returns:
            How many messages SQS keeps for good, and those that are worth another attempt.
        """
        kept, again = 0, list[Message]()
        left = tens(messages)
        while True:
            while calls.under_way < self._limits.receivers and (ten := next(left, None)):
                if self._unreachable.is_set() or not self._begin(calls, ten):
                    kept += len(ten)
                    self._drop(ten)
            if not calls.under_way:
                return kept, again
            for ten, outcome in calls.ended():
                refusals = self._refusals(ten, outcome)
                kept += len(refusals.final)
                again += refusals.retry
                retried = {message.receipt for message in refusals.retry}
                self._drop([each for each in ten if each.receipt not in retried])

    def _begin(
        self, calls: Calls[Sequence[Message], Refusals[Message]], messages: Sequence[Message]
    ) -> bool:
        try:
            reach(CrashPoint.BEFORE_DELETE)
            calls.begin(messages)
        except Exception as error:  # noqa: BLE001 - a committed run must not fail any more
            self._note("acknowledging", error)
            return False
        return True

    def _refusals(
        self, messages: Sequence[Message], outcome: Refusals[Message] | Exception
    ) -> Refusals[Message]:
        """What SQS did not delete; all for good where the call has failed."""
        try:
            reach(CrashPoint.AFTER_DELETE)
            if isinstance(outcome, Exception):
                raise outcome
        except Exception as error:  # noqa: BLE001 - as above
            self._note("acknowledging", error)
            return Refusals(final=tuple(messages))
        return outcome

    def _drop(self, messages: Sequence[Message]) -> None:
        with self._lock:
            for message in messages:
                self._forget(message)

    def _forget(self, message: Message) -> None:
        self._messages.pop(message.receipt, None)
        self._hidden_at.pop(message.receipt, None)

    def _hide(self, messages: Sequence[Message], seconds: int) -> int:
        """Sets the visibility of up to ten messages; returns of how many SQS did."""
        if self._unreachable.is_set():
            return 0
        try:
            refusals = self._queue.hide(messages, seconds)
        except Exception as error:  # noqa: BLE001 - they come back when their visibility ends
            self._note("changing visibility", error)
            return 0
        if refused := len(refusals.retry) + len(refusals.final):
            _log.warning("SQS did not change the visibility of %d messages", refused)
        return len(messages) - refused

    def _note(self, what: str, error: Exception) -> None:
        """Logs an error once, where it would come again with each of a thousand calls."""
        line = f"{what}: {told(error)}"
        with self._lock:
            if isinstance(error, QueueUnreachable):
                self._unreachable.set()
            if line in self._noted:
                return
            self._noted.add(line)
        _log.warning("%s", line)

    def _begin_anew(self) -> None:
        """What the last beat met may have passed: all is tried again, and told again."""
        with self._lock:
            self._unreachable.clear()
            self._noted.clear()

    def _beat(self) -> bool:
        """Extends what is due; whether to go on."""
        now = self._clock.monotonic()
        if now > self._last:
            _log.error("held for %d s: letting go", self._limits.hold_seconds)
            return False
        # What would pass the half before the next look is due now.
        self._extend(now - self._half * 3 / 4)
        return True

    def _extend(self, before: float) -> None:
        with self._lock:
            due = [
                self._messages[receipt]
                for receipt, hidden_at in self._hidden_at.items()
                if hidden_at <= before
            ]
        self._begin_anew()
        for ten in tens(due):
            if self._over.is_set():
                return
            now = self._clock.monotonic()
            if not self._hide(ten, self._limits.visibility_seconds):
                continue  # due still: the next beat tries again
            with self._lock:
                for message in ten:
                    if message.receipt in self._hidden_at:
                        self._hidden_at[message.receipt] = now
