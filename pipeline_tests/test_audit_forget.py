"""A person is forgotten wholly, once, and with a record; no load puts them back."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from pipeline.errors import AuditRefused
from pipeline.masking.policies import Vault
from pipeline.warehouse.audit import (
    forget,
)
from pipeline.warehouse.migrate import migrate
from pipeline_tests.audit_case import ANN, BOB, HELD, audited, fill, request
from pipeline_tests.load_case import batch, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import EVERY_TYPE, eventually, message, reading

_WAITING = "SELECT 1 FROM pg_locks WHERE NOT granted"


class TestForgetting:
    """Of a person, by a pseudonym or by the subject itself."""

    def test_every_pseudonym_of_the_person_goes(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        assert forget(eve, request("v1.ann"), []) == ["v1.ann", "v2.ann"]

        assert ask(warehouse, "SELECT token FROM pipeline.vault") == [("v1.bob",)]
        assert ask(warehouse, "SELECT feed, field, subject FROM pipeline.forgotten") == [
            ("orders", "email", ANN)
        ]
        assert audited(warehouse) == [
            ("forget", "v1.ann", "destroyed"),
            ("forget", "v2.ann", "destroyed"),
        ]

    def test_a_subject_is_enough(self, warehouse: str, eve: psycopg.Connection) -> None:
        assert forget(eve, request(), [BOB]) == ["v1.bob"]
        assert audited(warehouse) == [("forget", "v1.bob", "destroyed")]

    def test_doing_it_again_is_harmless_and_recorded(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        forget(eve, request("v1.bob"), [ANN, BOB])

        assert forget(eve, request("v1.bob"), [ANN, BOB]) == []

        assert ask(warehouse, "SELECT count(*) FROM pipeline.forgotten") == [(2,)]
        assert audited(warehouse)[-1] == ("forget", "v1.bob", "not in the vault")

    def test_whom_the_vault_does_not_know_is_left_out_from_now_on(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        assert forget(eve, request(), [b"to come"]) == []

        assert ask(warehouse, "SELECT subject FROM pipeline.forgotten") == [(b"to come",)]
        assert audited(warehouse) == [("forget", None, "not in the vault")]

    def test_one_call_is_one_request(self, warehouse: str, eve: psycopg.Connection) -> None:
        forget(eve, request("v1.ann", "v1.unknown"), [])

        assert ask(warehouse, "SELECT count(*), count(DISTINCT request) FROM pipeline.audit") == [
            (3, 1)
        ]

    @pytest.mark.parametrize("place", [("orders", "phone"), ("returns", "email")])
    def test_other_feeds_and_fields_keep_what_they_have(
        self, warehouse: str, eve: psycopg.Connection, place: tuple[str, str]
    ) -> None:
        fill(warehouse, *place)

        forget(eve, request("v1.ann"), [ANN, BOB])

        kept = "SELECT count(*) FROM pipeline.vault WHERE (feed, field) = (%s, %s)"
        assert ask(warehouse, kept, *place) == [(len(HELD),)]

    def test_without_a_reason_nothing_goes(self, warehouse: str, eve: psycopg.Connection) -> None:
        with pytest.raises(AuditRefused, match="states its reason"):
            forget(eve, request("v1.ann", reason=" "), [])

        assert ask(warehouse, "SELECT count(*) FROM pipeline.vault") == [(3,)]
        assert ask(warehouse, "SELECT count(*) FROM pipeline.forgotten") == [(0,)]

    @pytest.mark.parametrize(
        "level", [psycopg.IsolationLevel.REPEATABLE_READ, psycopg.IsolationLevel.SERIALIZABLE]
    )
    def test_it_is_refused_where_it_would_not_see_what_is_put_in_meanwhile(
        self, warehouse: str, eve: psycopg.Connection, level: psycopg.IsolationLevel
    ) -> None:
        eve.isolation_level = level
        with pytest.raises(AuditRefused, match="READ COMMITTED"):
            forget(eve, request("v1.ann"), [])

        assert ask(warehouse, "SELECT count(*) FROM pipeline.vault") == [(3,)]

    def test_it_waits_for_a_load_that_is_under_way(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        with psycopg.connect(warehouse) as load, ThreadPoolExecutor(1) as pool:
            load.execute(
                "INSERT INTO pipeline.vault (feed, field, token, subject, sealed)"
                " VALUES ('orders', 'email', 'v3.ann', %s, '')",
                (ANN,),
            )
            forgotten = pool.submit(forget, eve, request("v1.ann"), [])
            eventually(lambda: bool(ask(warehouse, _WAITING)))
            load.commit()

            assert forgotten.result() == ["v1.ann", "v2.ann", "v3.ann"]

    def test_it_waits_for_whoever_has_read_what_they_will_put_back(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        """As a rotation does, between reading the vault and writing to it."""
        with psycopg.connect(warehouse) as rotation, ThreadPoolExecutor(1) as pool:
            rotation.execute("LOCK TABLE pipeline.vault IN ROW EXCLUSIVE MODE")
            rows = rotation.execute(
                "SELECT feed, field, 'v3.' || token, subject, sealed FROM pipeline.vault"
                " WHERE token = 'v1.ann'"
            ).fetchall()
            forgotten = pool.submit(forget, eve, request("v1.ann"), [])
            eventually(lambda: bool(ask(warehouse, _WAITING)))
            rotation.execute(
                "INSERT INTO pipeline.vault (feed, field, token, subject, sealed)"
                " VALUES (%s, %s, %s, %s, %s)",
                rows[0],
            )
            rotation.commit()

            assert forgotten.result() == ["v1.ann", "v2.ann", "v3.v1.ann"]

    def test_a_load_waits_for_it_and_then_leaves_the_person_out(
        self, warehouse: str, eve: psycopg.Connection
    ) -> None:
        email = replace(EVERY_TYPE.fields[1], policy=Vault())
        feed = replace(EVERY_TYPE, fields=(EVERY_TYPE.fields[0], email))
        migrate(warehouse, [feed])
        settle(batch([message(reading(id=1))], feed), warehouse)
        ((token,),) = ask(warehouse, "SELECT email FROM lab.readings")
        with ThreadPoolExecutor(1) as pool, eve.transaction():
            gone = forget(eve, replace(request(token), feed=feed.name), [])
            load = pool.submit(settle, batch([message(reading(id=2))], feed), warehouse)
            eventually(lambda: bool(ask(warehouse, _WAITING)))
        load.result()

        assert gone == [token]
        assert ask(warehouse, "SELECT email FROM lab.readings") == [(token,), (token,)]
        kept = "SELECT count(*) FROM pipeline.vault WHERE feed = %s"
        assert ask(warehouse, kept, feed.name) == [(0,)]
