"""What a contract may say of an enrichment, and how what it adds is read."""

import asyncio
import enum
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone

import msgspec
import pytest

from pipeline.contract import SENT_AT, Feed, Field, Limits
from pipeline.decode import Decoder, Enriched, Row
from pipeline.enrichment import ENRICHED, Enrichment, Function, Record
from pipeline.errors import ContractError
from pipeline.masking.policies import Keep
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.spoil import spoilable
from pipeline.reasons import Reason, Refused
from pipeline.types import Boolean, Date, Integer, JsonObject, Number, Text, Texts, Timestamp
from pipeline_tests.enrich_case import order, orders
from pipeline_tests.samples import decode

SCORE = Field(ENRICHED + "score", Integer(0, 100), Keep())


async def score(_record: Record) -> Mapping[str, object]:
    """The same for all."""
    return {"score": 1}


def not_async(_record: Record) -> Mapping[str, object]:
    """A function that does not give way."""
    return {"score": 1}


@asynccontextmanager
async def session() -> AsyncIterator[Function]:
    """A session that gives the function."""
    yield score


def feed(enrichment: Enrichment | None, *fields: Field, **changes: object) -> Feed:
    """A sound feed with an enrichment, but for what a test changes."""
    made = replace(orders(), enrichment=enrichment, fields=(ID, *(fields or (SCORE,))))
    return replace(made, **changes)  # type: ignore[arg-type]


ID = Field("id", Integer(), Keep())
RULES: dict[str, tuple[Callable[[], Feed], str]] = {
    "nothing to call": (
        lambda: feed(Enrichment()),
        "enrichment.function must be given, or session, and not both",
    ),
    "two to call": (
        lambda: feed(Enrichment(score, session=session)),
        "enrichment.function must be given, or session, and not both",
    ),
    "one that blocks": (
        lambda: feed(Enrichment(not_async)),  # type: ignore[arg-type]
        "enrichment.function must be an async function",
    ),
    "no calls": (
        lambda: feed(Enrichment(score, concurrency=0)),
        "enrichment.concurrency must be at least 1",
    ),
    "no time": (
        lambda: feed(Enrichment(score, timeout_seconds=0)),
        "enrichment.timeout_seconds must be positive",
    ),
    "no attempt": (
        lambda: feed(Enrichment(score, attempts=0)),
        "enrichment.attempts must be at least 1",
    ),
    "no delivery": (
        lambda: feed(Enrichment(score, deliveries=0)),
        "enrichment.deliveries must be at least 1",
    ),
    "more deliveries than the queue makes": (
        lambda: feed(Enrichment(score, deliveries=20)),
        "enrichment.deliveries must be below 20",
    ),
    "more time than a run has": (
        lambda: feed(Enrichment(score, timeout_seconds=254, attempts=3)),
        "enrichment.attempts must end, pauses and all, within what hold_seconds leaves of a run",
    ),
    "endless time": (
        lambda: feed(Enrichment(score, timeout_seconds=float("inf"))),
        "enrichment.attempts must end",
    ),
    "nothing added": (
        lambda: feed(Enrichment(score), Field("name", Text(9), Keep())),
        "enrichment: at least one field whose path begins @enriched.",
    ),
    "a key that is added": (
        lambda: feed(Enrichment(score), key=(SCORE.path,)),
        "key: a field that is never null, nor enriched",
    ),
    "an added field without an enrichment": (
        lambda: feed(None),
        "path: @enriched. in a feed with an enrichment",
    ),
    "an added field that leads through another": (
        lambda: feed(Enrichment(score), SCORE, Field(SCORE.path + ".x", Boolean(), Keep())),
        "path: does not lead through another field",
    ),
    "an added field without a name": (
        lambda: feed(Enrichment(score), Field(ENRICHED, Boolean(), Keep(), column="x")),
        "path: names joined by single dots",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_contract_that_does_not_hold_together_is_refused(name: str) -> None:
    broken, rule = RULES[name]
    with pytest.raises(ContractError) as caught:
        broken()
    assert caught.value.feed == "orders"
    assert (caught.value.rule or "").startswith(rule)


def test_the_limits_are_what_is_allowed() -> None:
    assert feed(Enrichment(score, timeout_seconds=253, attempts=3)).enrichment
    assert feed(Enrichment(score, concurrency=1, deliveries=19, attempts=1)).enrichment
    assert feed(Enrichment(session=session)).enrichment


def test_the_attempts_must_fit_into_what_is_left_of_the_hold() -> None:
    """A run holds messages while it receives, enriches and loads; each takes its part."""
    enrichment = Enrichment(score, timeout_seconds=100, attempts=1)
    limits = Limits(hold_seconds=280, visibility_seconds=120, receive_seconds=60)
    assert feed(enrichment, limits=limits).limits == limits
    with pytest.raises(ContractError):
        feed(enrichment, limits=replace(limits, hold_seconds=279))


def test_the_pauses_of_all_attempts_count() -> None:
    waits = Enrichment(score, timeout_seconds=1, attempts=4)
    assert waits.longest_seconds == pytest.approx(4 + 1.5 * (0.2 + 0.4 + 0.8))


def test_what_is_added_is_not_sent() -> None:
    """No producer sends it, none is asked for it, and none makes it up."""
    made = orders()
    assert [each.path for each in made.fields if each.sent] == ["id", "email", "tags"]
    (event,) = generate(made, Recipe(count=1, random_seed=1))
    body = msgspec.json.decode(event.body)
    assert set(body) == {"id", "email", "tags"}
    assert decode(Decoder(made), body).unknown == 0
    only = feed(Enrichment(score), replace(SCORE, type=Text(9, allowed=("a",))))
    assert Reason.NOT_ALLOWED not in spoilable(only)


def test_a_body_is_sound_without_what_is_added_and_leaves_its_place_empty() -> None:
    row = decode(Decoder(orders()), order(1))
    assert row.values[:2] == (1, "user-1@example.org")
    assert row.values[3:5] == (None, None)


class Grade(enum.StrEnum):
    """What a function may use for itself."""

    GOOD = "good"


@dataclass
class Answer:
    """As above."""

    score: int


WIDE = feed(
    Enrichment(score),
    Field(ENRICHED + "grade", Text(9), Keep(), nullable=True),
    Field(ENRICHED + "score", Integer(), Keep(), nullable=True),
    Field(ENRICHED + "share", Number(), Keep(), nullable=True),
    Field(ENRICHED + "at", Timestamp(), Keep(), nullable=True),
    Field(ENRICHED + "day", Date(), Keep(), nullable=True),
    Field(ENRICHED + "tags", Texts(Text(9), 3), Keep(), nullable=True),
    Field(ENRICHED + "more", JsonObject(99), Keep(), nullable=True),
    Field(ENRICHED + "place.country", Text(2), Keep(), nullable=True),
    Field(SENT_AT, Timestamp(), Keep()),
)
NOON = datetime(2024, 2, 29, 12, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize(
    ("added", "column", "value"),
    [
        ({"grade": Grade.GOOD}, "grade", "good"),
        (Answer(7), "score", 7),
        ({"share": 1}, "share", 1.0),
        ({"at": NOON}, "at", NOON.astimezone(UTC)),
        ({"at": "2024-02-29T12:00:00+02:00"}, "at", NOON.astimezone(UTC)),
        ({"day": date(2024, 2, 29)}, "day", date(2024, 2, 29)),
        ({"tags": ("a", "b")}, "tags", ["a", "b"]),
        ({"more": {"b": 1, "a": [None]}}, "more", '{"a":[null],"b":1}'),
        ({"place": {"country": "DE"}}, "country", "DE"),
        ({"place": None}, "country", None),
        ({}, "score", None),
    ],
)
def test_what_is_added_is_read_as_if_it_stood_in_a_body(
    added: object, column: str, value: object
) -> None:
    names = [each.name for each in WIDE.fields if each.enriched]
    row = Enriched(WIDE).read(added)
    assert row.values[names.index(column)] == value
    assert type(row.values[names.index(column)]) is type(value)
    assert row.unknown == 0


@pytest.mark.parametrize(
    ("added", "reason", "column"),
    [
        (None, Reason.NOT_AN_OBJECT, None),
        ([1], Reason.NOT_AN_OBJECT, None),
        ({"score": True}, Reason.WRONG_TYPE, "score"),
        ({"score": 1.5}, Reason.WRONG_TYPE, "score"),
        ({"share": "1"}, Reason.WRONG_TYPE, "share"),
        ({"at": datetime(2024, 2, 29)}, Reason.BAD_TIMESTAMP, "at"),  # noqa: DTZ001 - no moment
        ({"grade": "\0"}, Reason.NUL_CHARACTER, "grade"),
        ({"tags": ["too long a tag"]}, Reason.TOO_LONG, "tags"),
        ({"place": "DE"}, Reason.WRONG_TYPE, "country"),
    ],
)
def test_what_breaks_its_type_is_refused_with_its_column(
    added: object, reason: Reason, column: str | None
) -> None:
    with pytest.raises(Refused) as caught:
        Enriched(WIDE).read(added)
    assert (caught.value.reason, caught.value.field) == (reason, column)


def test_what_is_added_shares_nothing_with_what_the_function_keeps() -> None:
    tags = ["a"]
    row = Enriched(WIDE).read({"tags": tags})
    tags.append("b")
    assert ["a"] in row.values


def test_what_the_contract_does_not_name_is_dropped_and_counted() -> None:
    only = feed(Enrichment(score))
    assert Enriched(only).read({"score": 1, "x": 2, "y": {"z": 3}}) == Row((1,), 2)


def test_a_session_and_a_function_are_opened_alike() -> None:
    async def both() -> list[Function]:
        opened = []
        for enrichment in (Enrichment(score), Enrichment(session=session)):
            async with enrichment.opened() as function:
                opened.append(function)
        return opened

    assert asyncio.run(both()) == [score, score]
