"""Nothing that a custodian makes is found in place of what the audit's functions mean."""

from typing import Final
from uuid import UUID

import psycopg
import pytest

from pipeline.errors import AuditRefused
from pipeline.warehouse.audit import open_request, request_unmask
from pipeline_tests.audit_case import (
    NOT_COMMITTED,
    NOT_YOURS,
    by_hand,
    request,
)
from pipeline_tests.outside_world import ask

# Each looks as what the functions mean, takes the same, and says what an attacker would like.
_SHADOWS: Final = """
CREATE FUNCTION {schema}.pg_current_xact_id() RETURNS xid8 LANGUAGE sql AS $$ SELECT '7'::xid8 $$;
CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$ SELECT '-infinity'::timestamptz $$;
CREATE FUNCTION {schema}.gen_random_uuid() RETURNS uuid LANGUAGE sql
    AS $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;
CREATE FUNCTION {schema}.never(xid8, xid8) RETURNS boolean LANGUAGE sql AS $$ SELECT false $$;
CREATE FUNCTION {schema}.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql
    AS $$ SELECT false $$;
CREATE FUNCTION {schema}.always(text, name) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE OPERATOR {schema}.= (FUNCTION = {schema}.never, LEFTARG = xid8, RIGHTARG = xid8);
CREATE OPERATOR {schema}.< (
    FUNCTION = {schema}.never, LEFTARG = timestamptz, RIGHTARG = timestamptz);
CREATE OPERATOR {schema}.= (FUNCTION = {schema}.always, LEFTARG = text, RIGHTARG = name);
CREATE TABLE {schema}.audit (LIKE pg_catalog.pg_class);
CREATE TABLE {schema}.vault (LIKE pg_catalog.pg_class);
"""


class TestShadows:
    """Objects of the caller's that look like what the functions mean."""

    def test_a_path_of_ones_own_leads_nowhere(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        user = eve.info.user
        ask(warehouse, f"CREATE SCHEMA mine AUTHORIZATION {user}")
        old = by_hand(warehouse, user, age=10**6)
        other = by_hand(warehouse, "somebody", age=0)
        eve.execute(_SHADOWS.format(schema="mine").encode())
        eve.execute("SET search_path = mine, pg_catalog")
        eve.commit()

        assert_refused(eve, old, other)

    def test_temporary_objects_lead_nowhere(self, warehouse: str, eve: psycopg.Connection) -> None:
        old = by_hand(warehouse, eve.info.user, age=10**6)
        other = by_hand(warehouse, "somebody", age=0)
        eve.execute(_SHADOWS.format(schema="pg_temp").encode())
        eve.execute("SET search_path = pg_temp, pg_catalog")
        eve.commit()

        assert_refused(eve, old, other)

    def test_they_would_be_found_by_a_function_that_pins_no_path(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        """So the two tests above try what they say."""
        ask(warehouse, f"CREATE SCHEMA mine AUTHORIZATION {eve.info.user}")
        old = by_hand(warehouse, eve.info.user, age=10**6)
        ask(warehouse, "ALTER FUNCTION pipeline.open_request(uuid) RESET search_path")
        eve.execute(_SHADOWS.format(schema="mine").encode())
        eve.execute("SET search_path = mine, pg_catalog")

        assert len(open_request(eve, old)) == 1


def assert_refused(eve: psycopg.Connection, old: UUID, other: UUID) -> None:
    """Each rule holds: of the transaction, of the age, of the user; and a request has a number."""
    with eve.transaction(force_rollback=True):
        number = request_unmask(eve, request("v1.ann"))
        assert number.int != 0
        with pytest.raises(AuditRefused, match=NOT_COMMITTED):
            open_request(eve, number)
    with pytest.raises(AuditRefused, match="older than 15 minutes"):
        open_request(eve, old)
    with pytest.raises(AuditRefused, match=NOT_YOURS):
        open_request(eve, other)
