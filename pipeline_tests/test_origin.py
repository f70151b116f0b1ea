"""A message that is sent again keeps its first id and time, and nobody can forge either."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consume.origin import again, restore
from pipeline.consume.settlement import decode_batch
from pipeline.messages import Message
from pipeline_tests.samples import EVERY_TYPE, KEYRING, SENT, message, quickly, reading

SECRET: Final = KEYRING.settlement_key("readings")
LATER: Final = SENT + timedelta(days=3)


def redelivered(first: Message, secret: bytes = SECRET) -> Message:
    """The message as SQS delivers it after a redrive: another id, a later time."""
    event = again(first, secret)
    return message(
        event.body,
        event_id=event.event_id or None,
        origin=event.origin,
        sent_at=LATER,
        received_at=LATER,
    )


@pytest.mark.parametrize("event_id", ["event-1", None, "\ud800 odd"])
def test_a_redriven_message_has_its_first_id_and_time(event_id: str | None) -> None:
    first = message(reading(), event_id=event_id)
    found = restore(redelivered(first), SECRET)
    assert (found.message_id, found.sent_at) == (first.message_id, first.sent_at)
    assert (found.event_id, found.body) == (first.event_id, first.body)


def test_the_receipt_and_the_count_are_those_of_this_delivery() -> None:
    delivered = replace(redelivered(message(reading())), receive_count=7)
    found = restore(delivered, SECRET)
    assert (found.receipt, found.receive_count) == (delivered.receipt, 7)


def test_a_second_redrive_keeps_the_first_id() -> None:
    """Also where it went from the quarantine on to the dead letters."""
    first = message(reading())
    twice = restore(redelivered(redelivered(first)), SECRET)
    assert (twice.message_id, twice.sent_at) == (first.message_id, first.sent_at)


def test_a_message_without_origin_is_itself() -> None:
    first = message(reading())
    assert restore(first, SECRET) is first


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "another"},
        {"event_id": None},
        {"body": "another"},
        {"origin": "v1 0 forged 00000000000000000000000000000000"},
        {"origin": "v1 0 forged "},
        {"origin": "forged"},
        {"origin": ""},
        {"origin": "\ud800"},
        {"origin": "é é é é"},
    ],
)
def test_an_origin_that_is_not_sound_counts_for_nothing(change: dict[str, str | None]) -> None:
    """Neither forged, nor taken from another message."""
    forged = replace(redelivered(message(reading(), event_id="event-1")), **change)  # type: ignore[arg-type] # of these fields each may be text or None
    assert restore(forged, SECRET) is forged


def test_an_origin_of_another_feed_or_keyring_counts_for_nothing() -> None:
    forged = redelivered(message(reading()), KEYRING.settlement_key("another"))
    assert restore(forged, SECRET) is forged


@pytest.mark.parametrize("place", range(3))
def test_no_part_of_an_origin_can_be_changed(place: int) -> None:
    sound = redelivered(message(reading()))
    parts = (sound.origin or "").split(" ")
    parts[place] += "0"
    assert restore(replace(sound, origin=" ".join(parts)), SECRET).sent_at == LATER


def test_what_was_sent_at_stays_the_day_of_the_first_sending() -> None:
    """`@sent_at` of the contract: no date moves by a redrive."""
    first = message(reading())
    batch = decode_batch(EVERY_TYPE, [redelivered(first)], SECRET)
    assert batch.frame["sent_at"].tolist() == [SENT]
    assert batch.entries[0].message.message_id == first.message_id


def test_what_has_nothing_but_its_message_id_is_the_same_event_after_a_redrive() -> None:
    """The broken build: a key from the message id that the redrive gave."""
    first = message("not JSON")
    batch = decode_batch(EVERY_TYPE, [first, redelivered(first)], SECRET)
    assert (len(batch.rejects), batch.duplicates) == (1, 1)


MOMENTS: Final = st.integers(0, 10**15).map(
    lambda micros: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)


@quickly
@given(body=st.text(max_size=40), event_id=st.none() | st.text(min_size=1), sent_at=MOMENTS)
def test_any_message_comes_back_as_itself(
    body: str, event_id: str | None, sent_at: datetime
) -> None:
    first = message(body, event_id=event_id, sent_at=sent_at)
    found = restore(redelivered(first), SECRET)
    assert (found.message_id, found.sent_at) == (first.message_id, sent_at)
