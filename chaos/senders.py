"""The senders of a chaos run: threads that send at a pace and log what they are told of it."""

import itertools
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from chaos.accepted import AcceptedLog, Answer, Record
from chaos.traffic import Parcel, Traffic
from pipeline.errors import PipelineError
from pipeline.produce.dispatch import Outlet
from pipeline.produce.rest_client import RestClient
from pipeline.reasons import Reason

_ATTEMPTS: Final = 4
_BEHIND: Final = 5.0  # seconds of a stall that are made up for at most


class Way(Protocol):
    """A way to the queue.

    Attributes:
        entries: How many messages travel together.
        prefix: What it puts before an event id.
        sound: What breaks the contract elsewhere, and not on this way.
    """

    entries: int
    prefix: str
    sound: frozenset[Reason]

    def send(self, parcels: Sequence[Parcel]) -> list[Answer]:
        """Sends some messages once; what is to be believed of each."""


class OverSqs:
    """Straight to SQS, over boto3."""

    entries = 10
    prefix = ""
    sound: frozenset[Reason] = frozenset()

    def __init__(self, queue: Outlet) -> None:
        self._queue = queue

    def send(self, parcels: Sequence[Parcel]) -> list[Answer]:
        """As `Way`; what SQS calls failed may be on the queue all the same."""
        try:
            sent = self._queue.send([parcel.event for parcel in parcels])
        except PipelineError:
            return [Answer.UNSURE] * len(parcels)
        return [Answer.ACCEPTED if taken else Answer.UNSURE for taken in sent.message_ids]


class OverRest:
    """Through the REST service, one event a request."""

    entries = 1
    prefix = "rest:local:"  # without API keys every caller is `local`
    sound = frozenset({Reason.NOT_AN_OBJECT})  # a list of one record is a batch of one

    def __init__(self, client: RestClient, feed: str) -> None:
        self._client, self._feed = client, feed

    def send(self, parcels: Sequence[Parcel]) -> list[Answer]:
        """As `Way`."""
        answers = [self._client.post(self._feed, parcel.event) for parcel in parcels]
        return [
            Answer.ACCEPTED if each.accepted else Answer.REFUSED if each.refused else Answer.UNSURE
            for each in answers
        ]


class Sender(threading.Thread):
    """Sends until it is told to stop; what was not accepted is sent again, a few times.

    Args:
        way: The way to the queue.
        traffic: What to send.
        log: What it was told.
        rate: Messages a second.
    """

    def __init__(self, way: Way, traffic: Traffic, log: AcceptedLog, rate: float) -> None:
        super().__init__(daemon=True)
        self._way, self._traffic, self.log = way, iter(traffic), log
        self._gap = way.entries / rate
        self._over = threading.Event()
        self._again: deque[tuple[Parcel, int]] = deque()
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Sends a portion whenever one is due."""
        due = time.monotonic()
        try:
            while not self._over.wait(max(0.0, due - time.monotonic())):
                self._send()
                due = max(due + self._gap, time.monotonic() - _BEHIND)
        except BaseException as error:  # noqa: BLE001 - the harness asks for it and fails
            self.failure = error

    def stop(self) -> None:
        """Ends it, and its log."""
        self._over.set()
        self.join()
        self.log.close()

    def _send(self) -> None:
        entries = self._way.entries
        portion = [self._again.popleft() for _ in range(min(len(self._again), entries // 2))]
        fresh = itertools.islice(self._traffic, entries - len(portion))
        portion += [(parcel, 1) for parcel in fresh]
        answers = self._way.send([parcel for parcel, _ in portion])
        self.log.write(
            [
                Record(answer, parcel.number, parcel.place, parcel.mark)
                for answer, (parcel, _) in zip(answers, portion, strict=True)
            ]
        )
        for answer, (parcel, attempt) in zip(answers, portion, strict=True):
            if answer is Answer.UNSURE and attempt < _ATTEMPTS:
                self._again.append((parcel, attempt + 1))
