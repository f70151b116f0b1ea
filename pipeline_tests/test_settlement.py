"""Each message has the identity that its producer meant, and a batch holds each event once."""

import json
from typing import Final

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consume.batch import Decoded, Entry
from pipeline.consume.settlement import decode_batch, quarantine_key
from pipeline.contract import Feed
from pipeline.messages import Message
from pipeline.reasons import Reason
from pipeline_tests.samples import (
    CANARY,
    EVERY_TYPE,
    KEYRING,
    USER_LOGINS,
    login,
    message,
    quickly,
    reading,
)

SECRET: Final = KEYRING.settlement_key("user_logins")


def settle(*messages: Message, feed: Feed = USER_LOGINS, secret: bytes = SECRET) -> Decoded:
    return decode_batch(feed, messages, secret)


def identity(sent: Message, *, feed: Feed = USER_LOGINS, secret: bytes = SECRET) -> Entry:
    """The identity of one message, sound or not."""
    batch = settle(sent, feed=feed, secret=secret)
    (entry,) = (*batch.entries, *(reject.entry for reject in batch.rejects))
    return entry


def accounted(batch: Decoded) -> int:
    return len(batch.entries) + len(batch.rejects) + batch.duplicates


def test_key_fields_identify_an_event_whatever_its_event_id() -> None:
    one = identity(message(reading(), event_id="a"), feed=EVERY_TYPE)
    again = identity(message(reading(), event_id="b"), feed=EVERY_TYPE)
    other = identity(message(reading(id=8), event_id="a"), feed=EVERY_TYPE)
    assert one.key == again.key != other.key


def test_the_event_id_identifies_an_event_without_key_fields() -> None:
    """Fault 18: a redrive gives another message id."""
    one = identity(message(login(), event_id="a", message_id="first"))
    redriven = identity(message(login(), event_id="a", message_id="second"))
    other = identity(message(login(), event_id="b", message_id="first"))
    assert one.key == redriven.key != other.key


def test_the_message_id_identifies_what_has_nothing_else() -> None:
    one, again, other = (
        identity(message(login(), message_id=message_id)) for message_id in ("a", "a", "b")
    )
    assert one.key == again.key != other.key


def test_an_event_id_never_passes_for_a_message_id_or_a_key() -> None:
    by_event = identity(message(login(), event_id="a"))
    by_message = identity(message(login(), message_id="a"))
    assert by_event.key != by_message.key
    by_key = identity(message(reading(id=7)), feed=EVERY_TYPE, secret=SECRET)
    by_name = identity(message("no", event_id="7"), feed=EVERY_TYPE, secret=SECRET)
    assert by_key.key != by_name.key


def test_no_event_id_is_too_odd_to_identify_an_event() -> None:
    odd = [message("{}", event_id=event_id) for event_id in ("", "\ud800", "\0", "é" * 1_000)]
    assert len({identity(each).key for each in odd}) == len(odd)


def test_a_broken_message_is_identified_without_its_key_fields() -> None:
    broken = settle(message({"id": 7}, event_id="a"), feed=EVERY_TYPE).rejects[0].entry
    assert broken.key == identity(message("no", event_id="a"), feed=EVERY_TYPE).key


def test_identities_are_keyed_and_of_the_promised_sizes() -> None:
    sent = message(login(), event_id="a")
    entry, other = identity(sent), identity(sent, secret=bytes(32))
    assert (len(entry.key), len(entry.content)) == (32, 16)
    assert entry.key != other.key
    assert entry.content != other.content


def test_the_same_event_twice_in_a_batch_is_one_row() -> None:
    """Fault 1."""
    first = message(login(), event_id="a")
    batch = settle(first, message(login(), event_id="a"), message(login(), event_id="a"))
    assert [entry.message for entry in batch.entries] == [first]
    assert (len(batch.frame), batch.duplicates, batch.rejects) == (1, 2, ())


def test_one_event_with_two_contents_is_a_conflict() -> None:
    """Fault 40."""
    batch = settle(
        message(login(), event_id="a"),
        message(login(locale="DE"), event_id="a"),
        message(login(locale="DE"), event_id="a"),
    )
    assert batch.frame["locale"].tolist() == ["RU"]
    assert [reject.reason for reject in batch.rejects] == [Reason.CONFLICT]
    assert (batch.received, batch.duplicates) == (3, 1)


def test_a_malformed_event_is_loaded_once_it_is_corrected() -> None:
    """The same event id with other contents: the quarantine and the ledger do not get mixed up."""
    broken, corrected = message("no", event_id="a"), message(login(), event_id="a")
    for batch in (settle(broken, corrected), settle(corrected, broken)):
        assert [entry.message for entry in batch.entries] == [corrected]
        assert [reject.reason for reject in batch.rejects] == [Reason.NOT_JSON]
        assert batch.duplicates == 0
        assert quarantine_key(batch.rejects[0].entry) != batch.entries[0].key


def test_the_same_broken_message_twice_is_quarantined_once() -> None:
    batch = settle(message("no", event_id="a"), message("no", event_id="a"))
    assert (len(batch.rejects), batch.duplicates) == (1, 1)


def test_broken_messages_of_one_event_with_other_contents_are_all_kept() -> None:
    batch = settle(message("no", event_id="a"), message("nor", event_id="a"))
    assert (len(batch.rejects), batch.duplicates) == (2, 0)


def test_one_bad_message_costs_only_itself() -> None:
    batch = settle(message(login()), message("no"), message('"\ud800'), message(login()))
    assert len(batch.frame) == len(batch.entries) == 2
    assert [reject.field for reject in settle(message(login(ip="1.2"))).rejects] == ["masked_ip"]


def test_an_empty_batch_has_all_columns_and_no_rows() -> None:
    batch = settle()
    assert list(batch.frame) == [each.name for each in USER_LOGINS.fields]
    assert (len(batch.frame), batch.received) == (0, 0)


def test_no_value_changes_on_its_way_into_the_frame() -> None:
    """No integer becomes a float beside a null, no string a number, no null anything else."""
    messages = [
        message(reading(id=2**53 + 1, note="00123", celsius=None)),
        message(reading(id=1, note=None, celsius=1, installed_on=None)),
    ]
    frame = settle(*messages, feed=EVERY_TYPE).frame
    assert set(frame.dtypes) == {pd.Series([], dtype=object).dtype}
    assert frame["id"].tolist() == [2**53 + 1, 1]
    assert frame["note"].tolist() == ["00123", None]
    assert frame["celsius"].tolist() == [None, 1.0]
    assert frame["installed_on"].tolist()[1] is None


def test_dropped_fields_are_counted_over_the_rows_of_a_batch() -> None:
    batch = settle(message(login(a=1)), message(login(b=1, c=2)), message({"d": 1}))
    assert batch.unknown == 3


@pytest.mark.parametrize("body", [json.dumps(login(user_id=CANARY)), f'{{"a": "{CANARY}'])
def test_a_batch_shows_no_value_and_no_body(body: str) -> None:
    batch = settle(message(body, event_id=f"event-{CANARY}"))
    assert CANARY not in repr(batch)


BODIES: Final = st.sampled_from(
    [json.dumps(login()), json.dumps(login(locale=None)), "no", "", json.dumps(login(ip=1))]
)
EVENTS: Final = st.sampled_from(["a", "b", "c", None])


@quickly
@given(st.lists(st.tuples(BODIES, EVENTS), max_size=12))
def test_every_message_of_any_batch_is_accounted_for(sent: list[tuple[str, str | None]]) -> None:
    batch = settle(*(message(body, event_id=event_id) for body, event_id in sent))
    assert batch.received == len(sent) == accounted(batch)
    assert len(batch.frame) == len(batch.entries) == len({entry.key for entry in batch.entries})
    keys = {quarantine_key(reject.entry) for reject in batch.rejects}
    assert len(keys) == len(batch.rejects)


@quickly
@given(st.lists(st.tuples(BODIES, EVENTS), max_size=8))
def test_a_batch_delivered_twice_within_itself_adds_only_duplicates(
    sent: list[tuple[str, str | None]],
) -> None:
    """Fault 1: a redelivery has the same message id, event id and body."""
    messages = [message(body, event_id=event_id) for body, event_id in sent]
    once, twice = settle(*messages), settle(*messages, *messages)
    assert twice.entries == once.entries
    assert twice.rejects == once.rejects
    assert twice.duplicates == once.duplicates + len(messages)
