"""Everything that the routes work with, put together once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.contract import Feed
from pipeline.produce.rest.gather import Gatherer
from pipeline.produce.rest.idempotency import Store
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.metrics import Metrics
from pipeline.produce.rest.rate import Rates
from pipeline.produce.rest.ready import Readiness
from pipeline.produce.rest.room import Room
from pipeline.produce.rest.senders import Senders
from pipeline.resources.sqs import SqsQueue

Opening = Callable[[Feed], SqsQueue]
"""How a feed's queue is found, which takes a call of SQS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One running service.

    Attributes:
        feeds: The feeds that may be written to, by name.
        limits: Its bounds.
        senders: Who may send; None where no API keys are configured.
        store: What was answered to which Idempotency-Key.
        rates: How much each sender has sent.
        room: How much it holds.
        metrics: What it has done.
        gatherer: The way to the queues.
        readiness: Whether they can be reached.
    """

    feeds: Mapping[str, Feed]
    limits: Limits
    senders: Senders | None
    store: Store
    rates: Rates
    room: Room
    metrics: Metrics
    gatherer: Gatherer
    readiness: Readiness

    @classmethod
    def over(
        cls,
        feeds: Sequence[Feed],
        *,
        sending: Opening,
        looking: Opening,
        senders: Senders | None,
        store: Store,
        limits: Limits,
    ) -> Self:
        """A service over the queues of some feeds; asks nobody for anything yet.

        Args:
            feeds: The feeds.
            sending: For as many calls at the same time as the limits say.
            looking: For whoever wants to know soon whether a queue is there.
            senders: Who may send; None for everybody.
            store: What was answered to which Idempotency-Key.
            limits: Its bounds.
        """
        room = Room(limits)
        metrics = Metrics(room)
        return cls(
            feeds={feed.name: feed for feed in feeds},
            limits=limits,
            senders=senders,
            store=store,
            rates=Rates(),
            room=room,
            metrics=metrics,
            gatherer=Gatherer(feeds, sending, limits, metrics),
            readiness=Readiness(feeds, looking),
        )
