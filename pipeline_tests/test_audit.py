"""What custodians ask for is recorded, and only as it should be."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID, uuid4

import psycopg
import pytest

from pipeline.errors import AuditRefused, PipelineError, TableMismatch, WarehouseUnavailable
from pipeline.resources import postgres
from pipeline.warehouse.audit import (
    Request,
    ask_unmask,
    forget,
    open_request,
    read_request,
    record,
    request_unmask,
)
from pipeline_tests.access_case import member_of
from pipeline_tests.audit_case import audited, custodian, fill, request
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY


class TestRequests:
    """Of what is to be opened."""

    def test_a_request_leaves_a_record_of_each_pseudonym(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        number = request_unmask(eve, request("v1.ann", "v1.bob", "v1.ann"))

        rows = ask(
            warehouse,
            "SELECT request, db_user, stated_by, action, feed, field, token, reason, detail,"
            " at BETWEEN now() - interval '1 minute' AND now() FROM pipeline.audit ORDER BY token",
        )
        assert rows == [
            (
                number,
                eve.info.user,
                "Eve",
                "unmask",
                "orders",
                "email",
                token,
                "ticket 12",
                None,
                True,
            )
            for token in ("v1.ann", "v1.bob")
        ]

    def test_the_vault_opens_for_it(self, eve: psycopg.Connection) -> None:
        number = request_unmask(eve, request("v1.ann", "v1.nobody"))

        assert sorted(open_request(eve, number)) == [("v1.ann", b"v1.ann"), ("v1.nobody", None)]

    def test_it_opens_what_was_asked_for_in_that_feed_and_field_only(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        fill(warehouse, field="phone")
        ask(warehouse, "UPDATE pipeline.vault SET sealed = 'other' WHERE field = 'phone'")
        number = request_unmask(eve, request("v1.ann"))

        assert open_request(eve, number) == [("v1.ann", b"v1.ann")]

    def test_opening_twice_gives_no_more(self, warehouse: str, eve: psycopg.Connection) -> None:
        number = request_unmask(eve, request("v1.ann"))

        assert open_request(eve, number) == open_request(eve, number) == [("v1.ann", b"v1.ann")]
        assert audited(warehouse) == [("unmask", "v1.ann", None)]

    def test_what_was_asked_is_read_by_any_custodian_and_opened_by_none(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        asked = request("v1.ann", "v1.bob")
        with custodian(warehouse) as other:
            number = ask_unmask(other, asked)

            found = read_request(eve, number)
            assert replace(found, tokens=tuple(sorted(found.tokens))) == asked
            for each in (eve, other):
                with pytest.raises(AuditRefused, match="made no such request"):
                    open_request(each, number)

    def test_a_request_to_unmask_is_not_read_as_one_that_was_asked(
        self, eve: psycopg.Connection
    ) -> None:
        with pytest.raises(AuditRefused, match="nobody has made such a request"):
            read_request(eve, request_unmask(eve, request("v1.ann")))

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"reason": ""}, "states its reason"),
            ({"reason": " \t\n\u00a0."}, "states its reason"),
            ({"stated_by": " "}, "who asks"),
            ({"tokens": ()}, "1 to 1000"),
            ({"tokens": tuple(f"v1.{place}" for place in range(1001))}, "1 to 1000"),
            ({"tokens": ("v1.ann", None)}, "names a feed, a field and pseudonyms"),
            ({"field": None}, "names a feed, a field and pseudonyms"),
            ({"feed": None}, "names a feed, a field and pseudonyms"),
            ({"reason": None}, "states its reason"),
        ],
    )
    @pytest.mark.parametrize("ask_for", [request_unmask, ask_unmask])
    def test_a_request_that_lacks_something_is_refused(
        self,
        warehouse: str,
        eve: psycopg.Connection,
        changes: dict[str, Any],
        text: str,
        ask_for: Callable[[psycopg.Connection, Request], UUID],
    ) -> None:
        with pytest.raises(AuditRefused, match=text):
            ask_for(eve, replace(request("v1.ann"), **changes))

        assert audited(warehouse) == []

    def test_a_thousand_may_be_asked_for(self, eve: psycopg.Connection) -> None:
        tokens = [f"v1.{place}" for place in range(1000)]

        assert len(open_request(eve, request_unmask(eve, request(*tokens)))) == 1000

    def test_a_number_that_was_made_up_opens_nothing(self, eve: psycopg.Connection) -> None:
        with pytest.raises(AuditRefused, match="made no such request"):
            open_request(eve, uuid4())


class TestRecords:
    """Of what is done beside the vault."""

    @pytest.mark.parametrize("action", ["delete", "rotate"])
    def test_it_is_recorded(
        self, warehouse: str, eve: psycopg.Connection, action: Literal["delete", "rotate"]
    ) -> None:
        record(eve, action, request("v1.ann"), detail="3 rows")
        record(eve, action, request())

        assert audited(warehouse) == [(action, "v1.ann", "3 rows"), (action, None, None)]

    @pytest.mark.parametrize("action", ["unmask", "unmask asked", "forget", "", None])
    def test_nothing_else_is_recorded_so(
        self, warehouse: str, eve: psycopg.Connection, action: str
    ) -> None:
        with pytest.raises(AuditRefused, match="only delete, rotate"):
            record(eve, action, request("v1.ann"))  # type: ignore[arg-type] # it is refused

        assert audited(warehouse) == []

    def test_it_is_undone_with_what_it_records(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        with eve.transaction(force_rollback=True):
            record(eve, "delete", request("v1.ann"))

        assert audited(warehouse) == []

    def test_the_owner_may_record_too(self, warehouse: str) -> None:
        with postgres.connect(warehouse) as owner:
            record(owner, "rotate", request(), detail="to version 2")

        assert audited(warehouse) == [("rotate", None, "to version 2")]


class TestRefusals:
    """Where the log-in or the server is the matter."""

    @pytest.mark.parametrize("role", ["loader", "analyst", "auditor"])
    def test_whoever_is_no_custodian_is_told_who_may(self, warehouse: str, role: str) -> None:
        with member_of(warehouse, role) as url, postgres.connect(url) as connection:
            for act in (
                lambda: request_unmask(connection, request("v1.ann")),
                lambda: ask_unmask(connection, request("v1.ann")),
                lambda: read_request(connection, uuid4()),
                lambda: open_request(connection, uuid4()),
                lambda: forget(connection, request("v1.ann"), []),
                lambda: record(connection, "delete", request()),
            ):
                with pytest.raises(AuditRefused, match=r"no custodian.*PIPELINE_CUSTODIAN_URL"):
                    act()

    def test_a_warehouse_without_the_functions_leads_to_the_command(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        ask(warehouse, "DROP FUNCTION pipeline.request_unmask")

        with pytest.raises(TableMismatch, match="`pipeline migrate`"):
            request_unmask(eve, request("v1.ann"))

    def test_a_connection_that_is_lost_is_an_outage(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        ask(warehouse, "SELECT pg_terminate_backend(%s)", eve.info.backend_pid)

        with pytest.raises(WarehouseUnavailable):
            request_unmask(eve, request("v1.ann"))

    def test_no_refusal_holds_what_was_asked_for(self, eve: psycopg.Connection) -> None:
        with pytest.raises(PipelineError) as caught:
            request_unmask(eve, request(*[CANARY] * 1001, stated_by=CANARY))

        assert CANARY not in str(caught.value)
        assert caught.value.__suppress_context__
