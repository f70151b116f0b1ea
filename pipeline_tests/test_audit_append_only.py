"""The audit is only ever added to, whoever tries."""

from typing import Final

import psycopg
import pytest

from pipeline.warehouse.audit import request_unmask
from pipeline_tests.audit_case import (
    request,
)
from pipeline_tests.outside_world import ask

_UPSERT: Final = (
    "INSERT INTO pipeline.audit OVERRIDING SYSTEM VALUE TABLE pipeline.audit"
    " ON CONFLICT (id) DO UPDATE SET reason = 'another'"
)


class TestAppendOnly:
    """The audit is never changed, by whoever owns it either."""

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE pipeline.audit SET reason = 'another'",
            "DELETE FROM pipeline.audit",
            "TRUNCATE pipeline.audit",
            "TRUNCATE pipeline.audit RESTART IDENTITY CASCADE",
            "MERGE INTO pipeline.audit USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
            _UPSERT,
            "WITH gone AS (DELETE FROM pipeline.audit RETURNING 1) SELECT * FROM gone",
        ],
    )
    @pytest.mark.parametrize("replication", ["origin", "replica", "local"])
    def test_not_even_by_a_superuser(
        self, warehouse: str, eve: psycopg.Connection, statement: str, replication: str
    ) -> None:
        request_unmask(eve, request("v1.ann"))
        before = ask(warehouse, "SELECT * FROM pipeline.audit")

        with psycopg.connect(warehouse) as owner:
            owner.execute(f"SET session_replication_role = {replication}".encode())
            with pytest.raises(psycopg.Error) as caught:
                owner.execute(statement.encode())

        assert caught.value.sqlstate == "PP001"
        assert ask(warehouse, "SELECT * FROM pipeline.audit") == before

    def test_a_custodian_cannot_put_the_triggers_to_rest(self, eve: psycopg.Connection) -> None:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            eve.execute("SET session_replication_role = replica")

    def test_a_number_that_is_missing_shows_what_was_undone(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        with eve.transaction(force_rollback=True):
            request_unmask(eve, request("v1.ann"))
        request_unmask(eve, request("v1.ann"))

        assert ask(warehouse, "SELECT id FROM pipeline.audit") == [(2,)]
