"""Each spoilt record breaks its contract for exactly the reason that was asked for."""

import json
from collections.abc import Callable
from typing import Final

import pytest

from pipeline.contract import SENT_AT, Feed, Field
from pipeline.decode import Decoder
from pipeline.masking.policies import Keep
from pipeline.produce.spoil import spoil, spoilable
from pipeline.reasons import Reason, Refused
from pipeline.types import Boolean, Date, Text
from pipeline_tests.samples import EVERY_TYPE, USER_LOGINS, decode, login, reading

WHOLE: Final = {
    Reason.EMPTY_BODY,
    Reason.NOT_JSON,
    Reason.NOT_AN_OBJECT,
    Reason.NOT_A_NUMBER,
    Reason.LONE_SURROGATE,
    Reason.TOO_DEEP,
    Reason.NUMBER_TOO_LARGE,
    Reason.DUPLICATE_KEY,
}
FLAGS: Final = Feed(
    name="flags",
    description="Nothing in it can be missing, too long or out of range.",
    queue="flags",
    table="flags",
    fields=(Field("on", Boolean(), Keep(), nullable=True), Field(SENT_AT, Date(), Keep())),
)
NESTED_ONLY: Final = Feed(
    name="nested",
    description="Its one required text is nested.",
    queue="nested",
    table="nested",
    fields=(Field("a.b", Text(3, allowed=("x",)), Keep()),),
)
RECORDS: Final[dict[str, tuple[Feed, Callable[[], dict[str, object]]]]] = {
    "user_logins": (USER_LOGINS, login),
    "readings": (EVERY_TYPE, reading),
    "flags": (FLAGS, lambda: {"on": True}),
    "nested": (NESTED_ONLY, lambda: {"a": {"b": "x"}}),
}
CASES: Final = [(name, reason) for name, (feed, _) in RECORDS.items() for reason in spoilable(feed)]


@pytest.mark.parametrize(("name", "reason"), CASES)
def test_a_spoilt_body_is_refused_for_exactly_its_reason(name: str, reason: Reason) -> None:
    feed, record = RECORDS[name]
    body = spoil(feed, record(), reason)
    with pytest.raises(Refused) as caught:
        decode(Decoder(feed), body)
    assert caught.value.reason is reason


@pytest.mark.parametrize(("name", "reason"), CASES)
def test_a_spoilt_body_can_be_sent(name: str, reason: Reason) -> None:
    """SQS takes neither an empty body nor characters that XML 1.0 does not know."""
    feed, record = RECORDS[name]
    body = spoil(feed, record(), reason)
    assert body
    assert body.isascii()
    assert all(letter >= " " or letter in "\t\n\r" for letter in body)
    assert len(body) < 2**20


def test_a_sound_record_is_sound_before_it_is_spoilt() -> None:
    for feed, record in RECORDS.values():
        assert decode(Decoder(feed), json.dumps(record())).unknown == 0


def test_what_can_be_spoilt_follows_from_the_contract() -> None:
    assert set(spoilable(FLAGS)) == WHOLE | {Reason.WRONG_TYPE}
    assert set(spoilable(EVERY_TYPE)) == set(Reason) - {
        Reason.ENRICHMENT_FAILED,
        Reason.CONFLICT,
        Reason.REFUSED_BY_DATABASE,
    }
    assert set(spoilable(EVERY_TYPE)) - set(spoilable(USER_LOGINS)) == {
        Reason.NOT_ALLOWED,
        Reason.OUT_OF_RANGE,
        Reason.BAD_DATE,
        Reason.BAD_TIMESTAMP,
    }
