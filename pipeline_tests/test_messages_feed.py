"""The feed `messages`: any message goes in by its envelope and comes out as a row, worked on."""

import asyncio
import datetime as dt
import json
import os
import re

import dagster as dg
import pytest

from pipeline.decode import Decoder
from pipeline.definitions import defs
from pipeline.feeds import find
from pipeline.feeds.messages import examine
from pipeline.operate.columns import OPENABLE, find_column
from pipeline.operate.drain import ingest_once
from pipeline.operate.forget import by_value, forget
from pipeline.operate.unmask import unmask
from pipeline.produce.generate import Recipe, generate
from pipeline.reasons import Reason, Refused
from pipeline.resources.outside import Outside
from pipeline.warehouse.audit import Request
from pipeline_tests.access_case import member_of
from pipeline_tests.samples import SENT, decode
from pipeline_tests.world import World

FEED = find("messages")
PAID = {
    "type": "order.paid",
    "occurred_at": "2026-01-02T03:04:05.678Z",
    "payload": {"order": 7, "customer": {"email": "ann@example.org"}},
}
"""What somebody sends with curl."""

PLAIN = {"type": "ping", "occurred_at": "2026-01-02T04:04:05+01:00"}
"""As above, with nothing else to say."""


@pytest.fixture
def inbox(world: World) -> World:
    """A world with the queue of the feed; `world.send` puts messages there."""
    object.__setattr__(world, "queue_url", world.sqs.create_queue(QueueName=FEED.queue)["QueueUrl"])
    return world


def ingest(world: World, *bodies: object) -> None:
    """One run of the job as it is deployed."""
    world.send([json.dumps(body) for body in bodies])
    with dg.DagsterInstance.ephemeral() as instance:
        ingested = ingest_once(defs(), FEED, instance)
    assert all(check.passed for check in ingested.checks), ingested.checks
    assert ingested.numbers["rows"] == len(bodies)


def test_messages_become_rows_with_what_was_found_out_about_them(inbox: World) -> None:
    ingest(inbox, PAID, PLAIN)
    rows = inbox.query(
        "SELECT message_type, occurred_at, payload, payload_fields, payload_size"
        " FROM messages ORDER BY message_type"
    )
    (paid_type, paid_at, paid, *found), ping = rows
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, 678_000, dt.UTC)
    assert (paid_type, paid_at, found) == ("order.paid", moment, [2, "small"])
    assert re.fullmatch(r"v1\.[A-Za-z0-9_-]{43}", paid)
    assert ping == ("ping", moment.replace(microsecond=0), None, 0, "small")
    sent_at = dt.datetime.fromtimestamp(inbox.clock.now, dt.UTC)
    assert inbox.query("SELECT DISTINCT sent_at FROM messages") == [(sent_at,)]


def test_a_payload_is_opened_by_a_custodian_and_can_be_forgotten(inbox: World) -> None:
    other = PAID | {"payload": {"customer": {"email": "ann@example.org"}, "order": 8}}
    # Spelt otherwise, and the same payload all the same.
    again = PAID | {"payload": {"customer": {"email": "ann@example.org"}, "order": 7}}
    ingest(inbox, PAID, other, again)
    counts = dict(inbox.query("SELECT payload, count(*)::int FROM messages GROUP BY 1"))
    assert sorted(counts.values()) == [1, 2]
    (token,) = [token for token, count in counts.items() if count == 2]
    column = find_column(FEED, "payload", OPENABLE)
    with member_of(inbox.postgres_url, "custodian") as custodian:
        outside = Outside.of(os.environ | {"PIPELINE_CUSTODIAN_URL": custodian})
        request = Request("messages", "payload", (token,), "ticket 12", "Eve")
        (opened,) = unmask(outside, FEED, [column], request)
        assert json.loads(opened.value or "") == PAID["payload"]
        # Named by the payload itself, as its sender has it.
        person = by_value(FEED, column, json.dumps(PAID["payload"]), outside.keyring.load())
        assert person.tokens == (token,)
        forget(outside, person, "ticket 13", "Eve")
        (gone,) = unmask(outside, FEED, [column], request)
        assert gone.value is None


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"type": None}, Reason.NULL, "message_type"),
        ({"type": "x" * 65}, Reason.TOO_LONG, "message_type"),
        ({"occurred_at": "2026-01-02T03:04:05"}, Reason.BAD_TIMESTAMP, "occurred_at"),
        ({"payload": [1]}, Reason.WRONG_TYPE, "payload"),
        ({"payload": {"x": "y" * 2**16}}, Reason.TOO_LONG, "payload"),
        ({"payload": {"x": "\0"}}, Reason.NUL_CHARACTER, "payload"),
    ],
)
def test_an_envelope_that_is_none_is_refused(
    change: dict[str, object], reason: Reason, field: str
) -> None:
    with pytest.raises(Refused) as caught:
        Decoder(FEED).decode(json.dumps(PAID | change), SENT)
    assert (caught.value.reason, caught.value.field) == (reason, field)


def test_generated_messages_keep_the_contract() -> None:
    for event in generate(FEED, Recipe(count=50, random_seed=1)):
        assert decode(Decoder(FEED), event.body).unknown == 0


@pytest.mark.parametrize(
    ("payload", "fields", "size"),
    [(None, 0, "small"), ("{}", 0, "small"), ('{"x":1}', 1, "small"), ('{"x":"%s"}', 1, "large")],
)
def test_what_is_found_out_depends_on_the_record_alone(
    payload: str | None, fields: int, size: str
) -> None:
    filled = payload and payload.replace("%s", "y" * 1_100)

    async def twice() -> list[object]:
        return [await examine({"payload": filled}) for _ in range(2)]

    one, other = asyncio.run(twice())
    assert one == other == {"payload_fields": fields, "payload_size": size}
