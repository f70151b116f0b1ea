"""Messages of any kind: what somebody's own system has to say, in an envelope, worked on."""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

from pipeline.contract import SENT_AT, Feed, Field
from pipeline.enrichment import ENRICHED, Enrichment, Record
from pipeline.masking.policies import Keep, Vault
from pipeline.types import Integer, JsonObject, Text, Timestamp

_WORK: Final = 0.1  # seconds
_LARGE: Final = 1024  # characters


async def examine(record: Record) -> Mapping[str, object]:
    """Stands for your own work on a message: a look-up, a score, a call of another service.

    It waits as such a call does, and tells of the payload how many values it has and how large
    it is. What it gives depends on the record alone, so that a redelivery gives it again.
    """
    await asyncio.sleep(_WORK)
    payload = str(record["payload"] or "{}")
    return {
        "payload_fields": len(json.loads(payload)),
        "payload_size": "large" if len(payload) > _LARGE else "small",
    }


FEED = Feed(
    name="messages",
    description="One row for each message of any type; its payload is sealed in the vault.",
    queue="message-queue",
    table="messages",
    fields=(
        Field(
            "type",
            Text(64, samples=("order.created", "order.paid", "order.sent", "user.created")),
            Keep(),
            column="message_type",
            description="What the message says has happened.",
        ),
        Field(
            "occurred_at",
            Timestamp(),
            Keep(),
            description="When it happened, by the sender's account.",
        ),
        Field(
            "payload",
            JsonObject(64 * 2**10),
            Vault(),
            personal=True,
            nullable=True,
            description="What else there is to say, if anything: equal payloads show as equal.",
        ),
        Field(
            SENT_AT,
            Timestamp(),
            Keep(),
            description="When the queue took the message.",
        ),
        Field(
            ENRICHED + "payload_fields",
            Integer(0, 2**31 - 1),
            Keep(),
            description="How many values the payload has.",
        ),
        Field(
            ENRICHED + "payload_size",
            Text(5, allowed=("small", "large")),
            Keep(),
            description="Whether the payload has more than 1,024 characters.",
        ),
    ),
    enrichment=Enrichment(examine, concurrency=2_000),
)
