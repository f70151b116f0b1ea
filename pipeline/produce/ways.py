"""The ways on which generated traffic reaches a queue: SQS itself, or the REST service."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipeline.messages import Event, Sent
from pipeline.produce.dispatch import ENTRIES, Outlet, dispatch
from pipeline.produce.rest_client import Answer, RestClient

_ATTEMPTS: Final = 5
_FIRST_PAUSE: Final = 0.1  # seconds; doubles
_LONGEST_PAUSE: Final = 5.0  # whatever a service asks for: the next event is due


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some events.

    Attributes:
        sent: How many SQS has for certain.
        refused: How many are refused for what they hold, or because the sender may not.
        failed: How many were not taken after all attempts, or perhaps were without saying so.
        why: The codes of what was refused or failed.
    """

    sent: int = 0
    refused: int = 0
    failed: int = 0
    why: Counter[str] = field(default_factory=Counter)


class Way(Protocol):
    """A way to the queue, for several threads."""

    entries: int
    """How many events travel together."""

    def send(self, events: Sequence[Event]) -> Outcome:
        """Sends some events; what may pass is tried again within bounds.

        Raises:
            PipelineError: It is not known whether SQS has them.
        """


class CountedOutlet:
    """A queue whose calls are counted.

    Attributes:
        calls: How many there have been.
    """

    def __init__(self, queue: Outlet) -> None:
        self._queue = queue
        self._lock = threading.Lock()
        self.calls = 0

    def send(self, events: Sequence[Event]) -> Sent:
        """As `Outlet`."""
        with self._lock:
            self.calls += 1
        return self._queue.send(events)


class SqsWay:
    """Straight to SQS, in calls of up to ten.

    Attributes:
        entries: How many events travel together.
    """

    entries = ENTRIES

    def __init__(self, queue: Outlet) -> None:
        self._queue = queue

    def send(self, events: Sequence[Event]) -> Outcome:
        """As `Way`."""
        refusals = dispatch(self._queue, events).refusals
        refused, failed = len(refusals.final), len(refusals.retry)
        why = Counter({"SenderFault": refused, "not taken in five attempts": failed})
        return Outcome(len(events) - refused - failed, refused, failed, +why)


class RestWay:
    """Through the REST service, one event a request, as single callers would.

    Attributes:
        entries: How many events travel together.
    """

    entries = 1

    def __init__(self, client: RestClient, feed: str) -> None:
        self._client = client
        self._feed = feed

    def send(self, events: Sequence[Event]) -> Outcome:
        """As `Way`."""
        (event,) = events
        answer = self._insist(event)
        if answer.accepted:
            return Outcome(sent=1)
        why = Counter({str(answer): 1})
        return Outcome(refused=1, why=why) if answer.refused else Outcome(failed=1, why=why)

    def _insist(self, event: Event) -> Answer:
        answer = self._client.post(self._feed, event)
        for attempt in range(1, _ATTEMPTS):
            if not answer.may_pass:
                break
            pause = max(answer.retry_after, _FIRST_PAUSE * 2.0 ** (attempt - 1))
            time.sleep(min(pause, _LONGEST_PAUSE))
            answer = self._client.post(self._feed, event)
        return answer
