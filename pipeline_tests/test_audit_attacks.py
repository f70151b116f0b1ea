"""Whoever has a custodian's rights cannot open the vault without a record that stays."""

from contextlib import closing
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from pipeline.errors import AuditRefused, WarehouseUnavailable
from pipeline.feeds.user_logins import FEED
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.resources import postgres
from pipeline.warehouse.audit import open_request, read_request, request_unmask
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import member_of
from pipeline_tests.audit_case import (
    BY_HAND,
    NOT_COMMITTED,
    NOT_YOURS,
    audited,
    by_hand,
    custodian,
    fill,
    request,
)
from pipeline_tests.outside_world import ask


class TestUndoing:
    """Of the record, by whoever has read."""

    def test_reading_and_rolling_back_leaves_the_record(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        number = request_unmask(eve, request("v1.ann"))
        with eve.transaction(force_rollback=True):
            assert open_request(eve, number) == [("v1.ann", b"v1.ann")]

        assert audited(warehouse) == [("unmask", "v1.ann", None)]

    def test_a_record_that_could_be_undone_opens_nothing(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        with eve.transaction(force_rollback=True):
            number = request_unmask(eve, request("v1.ann"))
            with pytest.raises(AuditRefused, match=NOT_COMMITTED):
                open_request(eve, number)

        assert audited(warehouse) == []

    def test_a_savepoint_that_was_released_commits_nothing(self, eve: psycopg.Connection) -> None:
        with eve.transaction(force_rollback=True):
            for name in (b"a", b"b"):  # one within the other
                eve.execute(b"SAVEPOINT " + name)
            number = request_unmask(eve, request("v1.ann"))
            for name in (b"b", b"a"):
                eve.execute(b"RELEASE SAVEPOINT " + name)
            eve.execute("SAVEPOINT c")
            with pytest.raises(AuditRefused, match=NOT_COMMITTED):
                open_request(eve, number)

    def test_a_block_of_plpgsql_that_catches_errors_commits_nothing(
        self, eve: psycopg.Connection
    ) -> None:
        """Each has a transaction id of its own, below that of the whole."""
        with pytest.raises(psycopg.errors.RaiseException, match="PP004"):
            eve.execute(
                """
                DO $$
                DECLARE number uuid;
                BEGIN
                    BEGIN
                        number := pipeline.request_unmask('orders', 'email', '{v1.ann}', 'r', 'e');
                    EXCEPTION WHEN OTHERS THEN
                    END;
                    BEGIN
                        PERFORM pipeline.open_request(number);
                    EXCEPTION WHEN OTHERS THEN
                        RAISE EXCEPTION '%', SQLSTATE;
                    END;
                END $$
                """
            )

    def test_another_session_does_not_see_what_is_not_committed(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        """Two sessions of one log-in: one that keeps its transaction open, one that opens."""
        user = eve.info.user
        with psycopg.connect(warehouse) as first:
            number = uuid4()
            first.execute(BY_HAND, (number, 0, user, "unmask"))
            with pytest.raises(AuditRefused, match=NOT_YOURS):
                open_request(eve, number)
            first.commit()

        assert len(open_request(eve, number)) == 1

    def test_a_prepared_transaction_is_none_that_was_committed(self, tmp_path: Path) -> None:
        server = EmbeddedPostgres(tmp_path)
        try:
            with psycopg.connect(server.start(), autocommit=True) as own:
                own.execute("ALTER SYSTEM SET max_prepared_transactions = 2")
            server.stop()
            own_url = server.start()
            migrate(own_url, [FEED])
            fill(own_url)
            with custodian(own_url) as eve:
                eve.execute("BEGIN")
                number = request_unmask(eve, request("v1.ann"))
                eve.execute("PREPARE TRANSACTION 'held'")
                with pytest.raises(AuditRefused, match=NOT_YOURS):
                    open_request(eve, number)
                eve.autocommit = True
                eve.execute("ROLLBACK PREPARED 'held'")
            assert audited(own_url) == []
        finally:
            server.stop()

    def test_a_transaction_that_may_not_write_makes_no_request(
        self, eve: psycopg.Connection
    ) -> None:
        eve.read_only = True

        with pytest.raises(WarehouseUnavailable, match="25006"):
            request_unmask(eve, request("v1.ann"))


class TestSomebodyElses:
    """Requests, names and ages."""

    def test_nobody_opens_what_another_has_asked_for(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        number = request_unmask(eve, request("v1.ann"))

        with custodian(warehouse) as other, pytest.raises(AuditRefused, match=NOT_YOURS):
            open_request(other, number)

    def test_a_role_that_is_put_on_hides_nobody(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        """Neither from the record, nor from being taken for somebody else."""
        other = by_hand(warehouse, "custodian", age=0)
        eve.autocommit = True
        eve.execute("SET ROLE custodian")
        number = request_unmask(eve, request("v1.ann"))

        with pytest.raises(AuditRefused, match=NOT_YOURS):
            open_request(eve, other)
        eve.execute("RESET ROLE")
        assert len(open_request(eve, number)) == 1
        recorded = "SELECT db_user FROM pipeline.audit WHERE request = %s"
        assert ask(warehouse, recorded, number) == [(eve.info.user,)]

    def test_another_sessions_user_cannot_be_put_on(self, eve: psycopg.Connection) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            eve.execute("SET SESSION AUTHORIZATION custodian")

    def test_a_request_may_be_opened_for_a_quarter_of_an_hour(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        recent = by_hand(warehouse, eve.info.user, age=14 * 60)
        old = by_hand(warehouse, eve.info.user, age=15 * 60 + 1)

        assert open_request(eve, recent) == [("v1.ann", b"v1.ann")]
        with pytest.raises(AuditRefused, match="older than 15 minutes"):
            open_request(eve, old)

    def test_what_a_job_has_asked_for_is_open_for_a_day(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        recent = by_hand(warehouse, "a job", age=23 * 3_600, action="unmask asked")
        old = by_hand(warehouse, "a job", age=24 * 3_600 + 1, action="unmask asked")

        assert read_request(eve, recent).tokens == ("v1.ann",)
        with pytest.raises(AuditRefused, match="within a day"):
            read_request(eve, old)

    def test_the_age_is_not_that_of_the_transaction(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        """`now()` stands still in one: a request made late in it would look old."""
        with eve.transaction():
            began = eve.execute("SELECT now()").fetchone()
            request_unmask(eve, request("v1.ann"))

        assert began is not None
        assert ask(warehouse, "SELECT at > %s FROM pipeline.audit", began[0]) == [(True,)]


def test_a_log_in_that_was_a_custodian_opens_nothing_any_more(warehouse: str) -> None:
    with member_of(warehouse, "custodian") as url, closing(postgres.connect(url)) as eve:
        number = request_unmask(eve, request("v1.ann"))
        ask(warehouse, f"REVOKE custodian FROM {eve.info.user}")

        with pytest.raises(AuditRefused, match="no custodian"):
            open_request(eve, number)
