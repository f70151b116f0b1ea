"""What the quarantine's functions refuse, they refuse in the database, whoever calls them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from pipeline.errors import AuditRefused
from pipeline.operate.custody import connected
from pipeline.reasons import Reason
from pipeline.warehouse import audit, quarantine
from pipeline.warehouse.quarantine import Action, Selection
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import batch, prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY, eventually, login, message

ALL = Selection("user_logins")
OLD = replace(ALL, age=timedelta(days=1))


@pytest.fixture
def url(warehouse_url: str) -> str:
    """A warehouse with three messages in quarantine, two of them not JSON."""
    prepared(warehouse_url)
    broken = [message("no", event_id="a"), message("nor"), message(login(ip="nowhere"))]
    settle(batch(broken), warehouse_url)
    return warehouse_url


@pytest.fixture
def custodian(url: str) -> Iterator[psycopg.Connection]:
    with member_of(url, "custodian") as somebody, connected(somebody) as connection:
        yield connection


def request(connection: psycopg.Connection, action: Action, selection: Selection = ALL) -> UUID:
    return quarantine.request(connection, action, selection, reason="ticket 12", stated_by="Eve")


def keys(url: str) -> list[bytes]:
    return [bytes(key) for (key,) in ask(url, "SELECT key FROM pipeline.quarantine ORDER BY key")]


def take_all(connection: psycopg.Connection, asked: UUID) -> list[bytes]:
    """Takes a portion and says that all of it was sent; the keys."""
    with connection.transaction():
        taken = [each.key for each in quarantine.take(connection, asked, b"")]
        quarantine.settle(connection, asked, taken)
    return taken


def open_one(connection: psycopg.Connection, asked: UUID) -> object:
    return quarantine.open_one(connection, asked, b"")


class TestRequests:
    """What may be asked for."""

    @pytest.mark.parametrize("reason", ["", " ", "...", None])
    def test_a_reason_is_stated(self, custodian: psycopg.Connection, reason: str) -> None:
        with pytest.raises(AuditRefused, match="states its reason"):
            quarantine.request(custodian, "redrive", ALL, reason=reason, stated_by="Eve")

    @pytest.mark.parametrize("action", ["look", "look asked"])
    def test_one_message_is_looked_at_at_a_time(
        self, custodian: psycopg.Connection, url: str, action: Action
    ) -> None:
        for keys_ in (None, tuple(keys(url))):
            with pytest.raises(AuditRefused, match="one look"):
                request(custodian, action, replace(ALL, keys=keys_))

    @pytest.mark.parametrize("count", [0, 1001])
    def test_an_empty_list_never_means_everything(
        self, custodian: psycopg.Connection, count: int
    ) -> None:
        with pytest.raises(AuditRefused, match="1 to 1000"):
            request(custodian, "redrive", replace(ALL, keys=(b"k",) * count))

    @pytest.mark.parametrize("age", [timedelta(), timedelta(hours=23, minutes=59), None])
    def test_nothing_younger_than_a_day_is_purged(
        self, custodian: psycopg.Connection, age: timedelta
    ) -> None:
        with pytest.raises(AuditRefused, match="for a day"):
            request(custodian, "purge", replace(ALL, age=age))

    def test_what_was_only_asked_for_is_not_opened(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        (key, *_) = keys(url)
        asked = request(custodian, "look asked", replace(ALL, keys=(key,)))
        with pytest.raises(AuditRefused, match="no such request"):
            open_one(custodian, asked)

    @pytest.mark.parametrize("action", ["look", "purge", "redrive done", "unmask"])
    def test_nothing_else_passes_for_a_redrive(
        self, custodian: psycopg.Connection, url: str, action: str
    ) -> None:
        """Not even what `pipeline.record` may write."""
        with pytest.raises(AuditRefused):
            audit.record(custodian, action, audit.Request("user_logins", "", (), "why", "Eve"))  # type: ignore[arg-type] # an attack
        old = request(custodian, "purge", OLD)
        with pytest.raises(AuditRefused, match="no such request"):
            take_all(custodian, old)
        assert len(keys(url)) == 3


class TestOpening:
    """Who opens and takes, and when."""

    def test_a_request_serves_only_whoever_made_it(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        asked = request(custodian, "redrive")
        with (
            member_of(url, "custodian") as somebody,
            connected(somebody) as other,
            pytest.raises(AuditRefused, match="no such request"),
        ):
            take_all(other, asked)

    def test_a_request_is_committed_before_anything_is_opened_or_taken(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        (key, *_) = keys(url)
        with pytest.raises(AuditRefused, match="not committed"), custodian.transaction():
            take_all(custodian, request(custodian, "redrive"))
        with pytest.raises(AuditRefused, match="not committed"), custodian.transaction():
            open_one(custodian, request(custodian, "look", replace(ALL, keys=(key,))))
        assert len(keys(url)) == 3

    @pytest.mark.parametrize(("action", "minutes"), [("look", 16), ("redrive", 24 * 60 + 1)])
    def test_a_request_grows_old(
        self, custodian: psycopg.Connection, url: str, action: Action, minutes: int
    ) -> None:
        (key, *_) = keys(url)
        asked = request(custodian, action, replace(ALL, keys=(key,)))
        ask(
            url,
            "ALTER TABLE pipeline.audit DISABLE TRIGGER keep_rows;"
            f"UPDATE pipeline.audit SET at = at - interval '{minutes} minutes'",
        )
        use = open_one if action == "look" else take_all
        with pytest.raises(AuditRefused, match="too old"):
            use(custodian, asked)

    def test_a_look_that_was_prepared_waits_for_a_day(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        (key, *_) = keys(url)
        asked = request(custodian, "look asked", replace(ALL, keys=(key,)))
        ask(url, "ALTER TABLE pipeline.audit DISABLE TRIGGER keep_rows")
        older = "UPDATE pipeline.audit SET at = at - %s"
        ask(url, older, timedelta(hours=23, minutes=55))
        assert bytes(quarantine.read_look(custodian, asked)[1]) == key
        ask(url, older, timedelta(minutes=6))
        with pytest.raises(AuditRefused, match="within a day"):
            quarantine.read_look(custodian, asked)

    def test_what_was_not_asked_for_is_neither_opened_nor_taken(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        first, second, _ = keys(url)
        asked = request(custodian, "redrive", replace(ALL, keys=(first,)))
        assert take_all(custodian, asked) == [first]
        assert take_all(custodian, asked) == []
        by_reason = request(custodian, "redrive", replace(ALL, reasons=(Reason.CONFLICT,)))
        of_another_feed = request(custodian, "redrive", Selection("orders"))
        young = request(custodian, "redrive", OLD)
        for each in (by_reason, of_another_feed, young):
            assert take_all(custodian, each) == []
        assert second in keys(url)

    def test_an_unknown_request_takes_nothing(self, custodian: psycopg.Connection) -> None:
        with pytest.raises(AuditRefused, match="no such request"):
            take_all(custodian, uuid4())


class TestTaking:
    """What is taken goes on or back: docs/quarantine.md."""

    def test_what_is_neither_sent_nor_put_back_is_never_gone(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        """A client that forgets the second half loses nothing."""
        asked = request(custodian, "redrive")
        with (
            pytest.raises(AuditRefused, match="neither sent nor put back"),
            audit.refusals(),
            custodian.transaction(),
        ):
            quarantine.take(custodian, asked, b"")
        assert len(keys(url)) == 3

    def test_what_is_put_back_is_as_it_was(self, custodian: psycopg.Connection, url: str) -> None:
        before = ask(url, "SELECT * FROM pipeline.quarantine ORDER BY key")
        asked = request(custodian, "redrive")
        with custodian.transaction():
            taken = quarantine.take(custodian, asked, b"")
            quarantine.settle(custodian, asked, [taken[0].key])
        gone = bytes(taken[0].key)
        after = ask(url, "SELECT * FROM pipeline.quarantine ORDER BY key")
        assert after == [row for row in before if bytes(row[1]) != gone]
        assert ask(url, "SELECT key, how FROM pipeline.quarantine_left") == [(gone, "redriven")]
        assert ask(url, "SELECT count(*) FROM pipeline.quarantine_taken") == [(0,)]

    def test_two_who_redrive_at_once_share_the_work(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        with member_of(url, "custodian") as somebody, connected(somebody) as other:
            one, two = request(custodian, "redrive"), request(other, "redrive")
            with custodian.transaction():
                taken = [each.key for each in quarantine.take(custodian, one, b"")]
                assert take_all(other, two) == []
                quarantine.settle(custodian, one, taken)
        assert (len(taken), keys(url)) == (3, [])

    def test_a_consumer_that_refuses_one_again_waits_and_then_keeps_it(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        """It must not take for a duplicate what is about to leave."""
        again = batch([message("no", event_id="a")])
        asked = request(custodian, "redrive")
        with psycopg.connect(url) as consumer, custodian.transaction():
            taken = [each.key for each in quarantine.take(custodian, asked, b"")]
            consumer.execute("SET lock_timeout = '200ms'")
            statement = (
                "INSERT INTO pipeline.quarantine SELECT 'user_logins', %s, '', '', NULL, 1, now(),"
                " now(), '' ON CONFLICT DO NOTHING"
            )
            with pytest.raises(psycopg.errors.LockNotAvailable):
                consumer.execute(statement, (taken[0],))
            quarantine.settle(custodian, asked, taken)
        assert settle(again, url).quarantined == {"not_json": 1}

    def test_what_leaves_while_a_batch_is_settled_is_no_fault_of_the_batch(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        """The batch has seen it lie there, and looks again when it has left."""
        ask(
            url,
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF session_user NOT LIKE 'somebody%' THEN PERFORM pg_advisory_xact_lock(7); END IF;"
            " RETURN NULL; END $$;"
            " CREATE TRIGGER dawdle AFTER INSERT ON pipeline.quarantine"
            " FOR EACH STATEMENT EXECUTE FUNCTION dawdle()",
        )
        again, asked = batch([message("no", event_id="a")]), request(custodian, "redrive")
        with ThreadPoolExecutor(1) as pool, psycopg.connect(url) as holder:
            holder.execute("SELECT pg_advisory_xact_lock(7)")
            settling = pool.submit(settle, again, url)
            eventually(lambda: is_waited_for(holder))
            assert len(take_all(custodian, asked)) == 3
            holder.rollback()
            assert (settling.result().duplicate, settling.result().quarantined) == (1, {})

    def test_the_account_still_adds_up(self, custodian: psycopg.Connection, url: str) -> None:
        take_all(custodian, request(custodian, "redrive"))
        assert ask(
            url,
            "SELECT a.quarantined, (SELECT count(*) FROM pipeline.quarantine_left AS gone"
            " WHERE gone.quarantined_at = a.committed_at) FROM pipeline.account AS a",
        ) == [(3, 3)]


def is_waited_for(holder: psycopg.Connection) -> bool:
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    return bool(holder.execute(waiting).fetchall())


class TestPurging:
    """Only what is old enough, in portions."""

    def test_the_old_ones_go_and_the_young_ones_stay(
        self, custodian: psycopg.Connection, url: str
    ) -> None:
        old, *young = keys(url)
        ask(
            url,
            "UPDATE pipeline.quarantine SET quarantined_at = now() - interval '25 hours'"
            " WHERE key = %s",
            old,
        )
        asked = request(custodian, "purge", OLD)
        assert quarantine.purge(custodian, asked, b"") == [old]
        assert keys(url) == young
        assert ask(url, "SELECT key, how, request FROM pipeline.quarantine_left") == [
            (old, "purged", asked)
        ]


def test_no_record_holds_a_value(custodian: psycopg.Connection, url: str) -> None:
    request(custodian, "redrive")
    (key, *_) = keys(url)
    request(custodian, "look", replace(ALL, keys=(key,)))
    assert CANARY not in str(ask(url, "SELECT * FROM pipeline.audit"))
