"""Fills a queue with chaos's traffic, and logs each message that was accepted."""

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chaos.accepted import AcceptedLog, Answer, Record
from chaos.identity import identity_of
from chaos.senders import OverSqs, Sender
from chaos.traffic import Traffic
from machines.stage import HubQueue, Stage
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.canaries import Canaries

_PORTION: Final = 1_000  # messages for each of which the log is not synced anew
_APART: Final = 10**9  # events of one source of traffic at most


class Filling:
    """The messages of a campaign.

    Args:
        stage: Whose queues.
        seed: Decides what is sent.
    """

    def __init__(self, stage: Stage, seed: int) -> None:
        self._stage, self._seed = stage, seed
        self.canaries = Canaries()
        self._sources = 0
        self._traffic = iter(self._new_traffic())
        self._log = AcceptedLog(stage.place.accepted / "filled")

    def fill(self, queue: HubQueue, messages: int) -> None:
        """Sends so many messages, as quickly as it goes.

        Raises:
            SystemExit: The queue, which has no reason to, did not take one.
        """
        way = OverSqs(SqsQueue(queue.client, self._stage.feed))
        left = messages
        while left:
            parcels = list(itertools.islice(self._traffic, min(left, _PORTION)))
            answers: list[Answer] = []
            for place in range(0, len(parcels), way.entries):
                answers += way.send(parcels[place : place + way.entries])
            self._log.write(
                [
                    Record(answer, parcel.number, parcel.place, parcel.mark)
                    for answer, parcel in zip(answers, parcels, strict=True)
                ]
            )
            if set(answers) != {Answer.ACCEPTED}:
                raise SystemExit("machines: the queue did not take what was sent")
            left -= len(parcels)

    def sender(self, queue: HubQueue, rate: float) -> Sender:
        """One that sends on and on, so many messages a second; not started yet."""
        traffic = self._new_traffic()
        log = AcceptedLog(self._stage.place.accepted / f"sent.{self._sources}")
        return Sender(OverSqs(SqsQueue(queue.client, self._stage.feed)), traffic, log, rate)

    @property
    def logs(self) -> Sequence[Path]:
        """The files that name what was accepted."""
        return sorted(self._stage.place.accepted.iterdir())

    def close(self) -> None:
        """Ends the log."""
        self._log.close()

    def _new_traffic(self) -> Traffic:
        feed, place = self._stage.feed, self._sources
        self._sources += 1
        return Traffic(
            feed,
            self.canaries,
            identity_of(feed, self._stage.keyring.settlement_key(feed.name)),
            first=place * _APART,
            prefix="",
            rng=random.Random(f"{self._seed}/machines/{place}"),  # noqa: S311 - sample data
        )
