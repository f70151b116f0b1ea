"""Rows, ledger, quarantine and account are settled together, each event once."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.consume.batch import Account
from pipeline.consume.load import Load
from pipeline.contract import Field
from pipeline.feeds.user_logins import FEED
from pipeline.masking.policies import Keep
from pipeline.types import Text
from pipeline_tests.load_case import (
    EXAMPLES,
    NOTHING,
    TABLES,
    batch,
    counts,
    logins,
    on_insert,
    prepared,
    settle,
    users,
)
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY, EVERY_TYPE, SENT, login, message, reading


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse in which the table of `user_logins` is prepared."""
    return prepared(warehouse_url)


class TestOneTransaction:
    """Rows, ledger, quarantine and account go together."""

    def test_each_message_ends_where_it_belongs(self, warehouse: str) -> None:
        messages = [*logins(3), message("not JSON"), message(login(ip=CANARY), event_id="bad")]

        account = settle(batch([*messages, messages[0]]), warehouse)

        assert account == Account(
            received=6,
            loaded=3,
            duplicate=1,
            quarantined=Counter(not_json=1, bad_address=1),
        )
        assert users(warehouse) == ["user-0", "user-1", "user-2"]
        assert counts(warehouse)["pipeline.ledger"] == 3
        assert ask(
            warehouse,
            "SELECT message_id, reason, field, receive_count, sent_at, quarantined_at <= now()"
            " FROM pipeline.quarantine WHERE reason = 'bad_address'",
        ) == [(messages[4].message_id, "bad_address", "masked_ip", 1, SENT, True)]
        assert ask(
            warehouse,
            "SELECT feed, run_id, received, loaded, duplicate, quarantined FROM pipeline.account",
        ) == [("user_logins", "run-1", 6, 3, 1, 2)]

    def test_values_arrive_masked_and_otherwise_as_they_were_read(self, warehouse_url: str) -> None:
        prepared(warehouse_url, EVERY_TYPE)
        empty = reading(id=8, celsius=None, note=None, installed_on=None)
        messages = [message(reading(note="\\N\t\"';--\n")), message(empty)]

        settle(batch(messages, EVERY_TYPE), warehouse_url)

        rows = ask(
            warehouse_url,
            "SELECT id, level, room, firmware, celsius, sound, measured_at, installed_on, note,"
            " sent_at, email <> 'ann@example.org', ip <> '10.0.0.1' FROM lab.readings ORDER BY id",
        )
        noon = datetime(2024, 2, 29, 10, tzinfo=UTC)
        tail = (SENT, True, True)
        assert rows == [
            (7, "low", 12, 10203, 21.5, True, noon, date(2023, 12, 31), "\\N\t\"';--\n", *tail),
            (8, "low", 12, 10203, None, True, noon, None, None, *tail),
        ]

    def test_a_feed_may_name_its_columns_as_ours_are_named(self, warehouse_url: str) -> None:
        names = ("feed", "key", "content", "settled", "incoming", "select")
        fields = tuple(Field(name, Text(9), Keep()) for name in names)
        feed = replace(FEED, name="odd", table="odd", fields=fields)
        prepared(warehouse_url, feed)

        account = settle(batch([message(dict.fromkeys(names, "x"))], feed), warehouse_url)

        assert account.loaded == 1
        assert ask(warehouse_url, "SELECT * FROM odd") == [("x",) * len(names)]

    def test_an_empty_batch_is_settled_too(self, warehouse: str) -> None:
        assert settle(batch([]), warehouse) == Account(received=0)
        assert counts(warehouse) == NOTHING | {"pipeline.account": 1}

    @given(values=st.lists(st.text(st.characters(exclude_categories=()), max_size=130), max_size=4))
    @EXAMPLES
    def test_no_text_passes_the_decoder_that_the_database_refuses(
        self, warehouse: str, values: list[str]
    ) -> None:
        """Faults 28 and 30: NUL, lone surrogates and whatever else a string may hold."""
        messages = [message(login(user_id=value, locale=None)) for value in values]

        account = settle(batch(messages), warehouse)

        assert account.adds_up
        assert "refused_by_database" not in account.quarantined
        assert account.loaded == sum(
            len(value) <= 128 and "\0" not in value and _is_unicode(value) for value in values
        )


def _is_unicode(value: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in value)


class TestTwice:
    """The ledger settles what comes again."""

    def test_a_batch_that_comes_again_is_all_duplicate(self, warehouse: str) -> None:
        """Faults 2 and 10."""
        messages = [*logins(30), message("not JSON", event_id="bad")]
        settle(batch(messages), warehouse)
        before = counts(warehouse)

        account = settle(batch(list(reversed(messages))), warehouse)

        assert account == Account(received=31, duplicate=31)
        assert counts(warehouse) == before | {"pipeline.account": 2}

    def test_a_batch_that_overlaps_adds_what_is_new(self, warehouse: str) -> None:
        settle(batch(logins(20)), warehouse)

        account = settle(batch(logins(50)), warehouse)

        assert account == Account(received=50, loaded=30, duplicate=20)
        assert len(users(warehouse)) == 50

    def test_the_same_event_of_another_feed_is_another_event(self, warehouse: str) -> None:
        other = replace(FEED, name="other_logins")
        settle(batch(logins(2)), warehouse)

        assert settle(batch(logins(2), other), warehouse).loaded == 2

    def test_an_event_that_changed_its_content_is_a_conflict(self, warehouse: str) -> None:
        """Fault 40."""
        settle(batch(logins(3)), warehouse)
        changed = message(login(user_id="changed"), event_id="event-1")

        first = settle(batch([*logins(3), changed]), warehouse)
        again = settle(batch([changed]), warehouse)

        assert first == Account(received=4, duplicate=3, quarantined=Counter(conflict=1))
        assert again == Account(received=1, duplicate=1)
        assert users(warehouse) == ["user-0", "user-1", "user-2"]

    def test_an_event_that_changed_its_content_alone_is_a_conflict_too(
        self, warehouse: str
    ) -> None:
        """Fault 40: only the ledger knows what it said before."""
        settle(batch(logins(3)), warehouse)

        account = settle(batch([message(login(user_id="changed"), event_id="event-1")]), warehouse)

        assert account == Account(received=1, quarantined=Counter(conflict=1))
        assert users(warehouse) == ["user-0", "user-1", "user-2"]

    def test_runs_that_hold_the_same_messages_do_not_wait_in_a_circle(self, warehouse: str) -> None:
        """Fault 3: opposite orders, each row slow, so that both are at it at once."""
        ask(warehouse, "CREATE SEQUENCE statements")
        on_insert(warehouse, "PERFORM pg_sleep(0.002); RETURN NEW;", table="pipeline.ledger")
        ask(
            warehouse,
            "CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM nextval('statements'); RETURN NULL; END $$;"
            "CREATE TRIGGER counted BEFORE INSERT ON pipeline.ledger"
            " FOR EACH STATEMENT EXECUTE FUNCTION counted()",
        )
        messages = logins(90)
        loads = [batch(messages[:60]), batch(list(reversed(messages[30:])))]
        together = threading.Barrier(2, timeout=10)

        def work(load: Load) -> Account:
            together.wait()
            return settle(load, warehouse)

        with ThreadPoolExecutor(2) as pool:
            one, other = pool.map(work, loads)

        assert (one + other).loaded == 90
        assert (one + other).duplicate == 30
        assert len(set(users(warehouse))) == len(users(warehouse)) == 90
        # A deadlock would have been tried again: then there were more than two.
        assert ask(warehouse, "SELECT last_value FROM statements") == [(2,)]


def test_the_quarantine_holds_bodies_sealed(warehouse: str) -> None:
    """Oracle P: nothing of what was said can be read in any table."""
    ask(warehouse, "ALTER TABLE user_logins ADD CHECK (device_type <> 'bad')")
    settle(batch([message(login(), event_id=CANARY)]), warehouse)
    messages = [
        message(f"{{{CANARY}", event_id=f"{CANARY}-1"),
        message(login(ip=CANARY), event_id=f"{CANARY}-2"),
        message(login(device_id=CANARY, device_type="bad"), event_id=f"{CANARY}-3"),
        message(login(device_id=CANARY), event_id=CANARY),
    ]

    account = settle(batch(messages), warehouse)

    assert account.quarantined.total() == 4
    for table in TABLES:
        for row in ask(warehouse, f"SELECT t::text, * FROM {table} t"):
            stored = b"".join(v if isinstance(v, bytes) else str(v).encode() for v in row)
            assert CANARY.encode() not in stored
            assert CANARY.encode().hex().encode() not in stored
    # Version, nonce and tag of AES-GCM: 32 bytes more than the body, and no other for a repetition.
    sizes = ask(warehouse, "SELECT length(body_sealed) FROM pipeline.quarantine ORDER BY 1")
    assert [size for (size,) in sizes] == sorted(len(each.body) + 32 for each in messages)
