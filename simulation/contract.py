"""The feed of the simulated world, what producers send to it, and the table's own opinion."""

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from pipeline.contract import SENT_AT, Feed, Field, Limits
from pipeline.enrichment import ENRICHED, Enrichment, Function
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import Keep
from pipeline.types import Integer, Text, Timestamp

LIMITS: Final = Limits(
    batch_messages=6,
    receive_seconds=20.0,
    run_messages=15,
    run_seconds=100.0,
    receivers=1,  # one thread at a time: a schedule is the same whenever it is run
    visibility_seconds=60,
    hold_seconds=300,
    linger_seconds=20.0,
    linger_messages=3,
    max_runs=2,
    run_age_seconds=600.0,
)

RETENTION_DAYS: Final = 14
"""For so long SQS keeps a message: its longest."""

KEYRING: Final = Keyring({1: bytes(range(64))}, current=1)
"""Keys that are the same in every schedule."""

NARROW: Final = Feed(
    name="simulated",
    description="What the simulated producers send.",
    queue="simulated-queue",
    table="simulated",
    fields=(
        Field("event", Text(8), Keep()),
        Field("text", Text(4), Keep()),
        Field(SENT_AT, Timestamp(), Keep(), column="sent_at"),
    ),
    limits=LIMITS,
)
"""The contract at first."""

WIDE: Final = replace(
    NARROW,
    fields=tuple(replace(f, type=Text(12)) if f.path == "text" else f for f in NARROW.fields),
)
"""The contract that also takes what is long."""

DEAD_LETTERS: Final = f"{NARROW.queue}-dead-letter"

_LENGTH: Final = "length"


def enriched(feed: Feed, function: Function) -> Feed:
    """The feed with an enrichment: one call at a time, so that a schedule stays the same."""
    return replace(
        feed,
        fields=(*feed.fields, Field(ENRICHED + _LENGTH, Integer(), Keep())),
        enrichment=Enrichment(function, concurrency=1, attempts=1, deliveries=3),
    )


def length(said: "Said") -> dict[str, object]:
    """What the enrichment gives for what an event says."""
    return {_LENGTH: len(said.kind)}


class Kind(StrEnum):
    """What a message says, as contract and table see it."""

    FIRST = "one"
    SECOND = "two"
    LONG = "far too long"  # for the narrow contract
    CURSED = "bad"  # for the table, until it is altered
    BROKEN = "cut"  # in the middle: no JSON

    @property
    def sound(self) -> bool:
        """Whether nothing ever speaks against it."""
        return self in {Kind.FIRST, Kind.SECOND}


@dataclass(frozen=True, slots=True)
class Said:
    """What one event says: the same event may say something else in another message.

    Attributes:
        event: The name of the event.
        kind: What it says.
        named: Whether the producer sends the event's name as its id.
    """

    event: str
    kind: Kind
    named: bool = True

    @property
    def body(self) -> str:
        """As it is sent."""
        whole = json.dumps({"event": self.event, "text": self.kind.value})
        return whole[:-2] if self.kind is Kind.BROKEN else whole

    @property
    def row(self) -> tuple[str, str]:
        """As the table has it, without its time."""
        return self.event, self.kind.value
