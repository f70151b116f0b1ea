"""Rights are granted again, at once, and where not all may be given; each role can do its work."""

import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from pipeline.feeds.user_logins import FEED
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.masking.policies import Vault
from pipeline.operate.status import read_status
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.warehouse.audit import forget, open_request, request_unmask
from pipeline.warehouse.migrate import migrate
from pipeline.warehouse.tables import prepare
from pipeline_tests.access_case import EVERYBODY, assert_matrix, by_catalog, member_of
from pipeline_tests.audit_case import custodian, fill, request
from pipeline_tests.load_case import batch, logins, settle
from pipeline_tests.migration_case import make_at
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import EVERY_TYPE, login, message, reading
from pipeline_tests.world import World, sample_bodies


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse with everything in it, and a feed in a schema of its own."""
    migrate(warehouse_url, [FEED, EVERY_TYPE])
    return warehouse_url


class TestGranting:
    """Granting again, at once, or where it is not permitted."""

    def test_what_was_given_by_hand_ends_at_the_next_migration(self, warehouse: str) -> None:
        ask(
            warehouse,
            "GRANT ALL ON ALL TABLES IN SCHEMA pipeline TO analyst, PUBLIC;"
            "GRANT SELECT (sealed) ON pipeline.vault TO custodian;"
            "GRANT ALL ON ALL FUNCTIONS IN SCHEMA pipeline TO loader, PUBLIC;"
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA pipeline TO auditor;"
            "GRANT ALL ON SCHEMA pipeline TO analyst, PUBLIC;"
            "GRANT ALL ON user_logins TO analyst, auditor;"
            "REVOKE SELECT ON pipeline.audit FROM auditor",
        )

        migrate(warehouse, [FEED, EVERY_TYPE])

        assert_matrix(warehouse)

    def test_rights_by_default_do_not_reach_what_is_made(self, warehouse_url: str) -> None:
        """As somebody sets who wants analysts to read all tables to come."""
        ask(
            warehouse_url,
            "DO $$ BEGIN CREATE ROLE analyst; EXCEPTION WHEN duplicate_object THEN END $$;"
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO analyst;"
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO analyst;"
            "ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO analyst;"
            "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO analyst",
        )
        with psycopg.connect(warehouse_url) as connection:
            prepare(connection, EVERY_TYPE)
            prepare(connection, FEED)

        assert_matrix(warehouse_url)

    def test_rights_by_default_of_others_end_at_what_is_guarded(self, warehouse_url: str) -> None:
        """As somebody has set for a dashboard, before there was a vault."""
        make_at(warehouse_url, "0001")
        with member_of(warehouse_url) as url, closing(postgres.connect(url)) as stranger:
            name = stranger.info.user
            for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
                ask(
                    warehouse_url,
                    f"ALTER DEFAULT PRIVILEGES IN SCHEMA pipeline GRANT ALL ON {kind} TO {name};"
                    f"GRANT USAGE ON SCHEMA pipeline TO {name};"
                    f"GRANT SELECT ON pipeline.account TO {name}",
                )
            migrate(warehouse_url, [FEED])

            assert stranger.execute("SELECT count(*) FROM pipeline.account").fetchone() == (0,)
            for denied in (
                "SELECT * FROM pipeline.vault",
                "SELECT * FROM pipeline.audit",
                "SELECT * FROM pipeline.forgotten",
                "SELECT nextval('pipeline.audit_id_seq')",
                "SELECT pipeline.forget('', '', '{}', '{}', 'x', 'x')",
                "SELECT pipeline.write_audit(gen_random_uuid(), '', '', '', '{}', 'x', 'x', '')",
            ):
                with (
                    pytest.raises(psycopg.errors.InsufficientPrivilege),
                    stranger.transaction(),
                ):
                    stranger.execute(denied)

    def test_a_table_that_is_made_later_is_nobodys(self, warehouse: str) -> None:
        ask(warehouse, "CREATE TABLE pipeline.later (a text); CREATE TABLE lab.later (a text)")

        for role in EVERYBODY:
            found = [("table", "pipeline.later"), ("table", "lab.later")]
            assert by_catalog(warehouse, role, found) == set()

    def test_where_everybodys_rights_on_the_database_are_taken(self, warehouse_url: str) -> None:
        name = warehouse_url.rpartition("/")[2]
        ask(warehouse_url, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        ask(warehouse_url, "REVOKE ALL ON SCHEMA public FROM PUBLIC")

        migrate(warehouse_url, [FEED])

        with member_of(warehouse_url, "loader") as url:
            assert settle(batch(logins(1)), url).loaded == 1
        with member_of(warehouse_url, "analyst") as url:
            assert ask(url, "SELECT count(*) FROM user_logins") == [(1,)]

    def test_two_databases_of_a_server_may_make_the_roles_at_once(self, tmp_path: Path) -> None:
        """A role belongs to the server: one of the two finds it made while it makes it."""
        server = EmbeddedPostgres(tmp_path)
        together = threading.Barrier(4, timeout=20)
        try:
            own = server.start()
            for name in "abcd":
                with psycopg.connect(own, autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name}".encode())

            def work(name: str) -> tuple[str, ...]:
                together.wait()
                return migrate(f"{own.rpartition('/')[0]}/{name}", [FEED]).left_out

            with ThreadPoolExecutor(4) as pool:
                assert list(pool.map(work, "abcd")) == [()] * 4
        finally:
            server.stop()

    def test_what_may_not_be_made_or_given_is_left_out_and_named(self, tmp_path: Path) -> None:
        """An owner who may make tables, and no roles; the table of one feed is another's."""
        server = EmbeddedPostgres(tmp_path)
        try:
            own = server.start()
            migrate(own, [FEED])
            ask(
                own,
                "DROP SCHEMA pipeline CASCADE; REVOKE ALL ON user_logins FROM loader, custodian;"
                "DROP OWNED BY analyst, auditor; DROP ROLE analyst, auditor;"
                "GRANT INSERT ON user_logins TO PUBLIC;"
                "GRANT CREATE ON DATABASE warehouse TO PUBLIC",
            )
            with member_of(own) as url:
                assert migrate(url, [FEED, EVERY_TYPE]).left_out == (
                    "role analyst",
                    "role auditor",
                    "SELECT on table public.user_logins for custodian",
                    "DELETE on table public.user_logins for custodian",
                    "SELECT on table public.user_logins for loader",
                )
                assert settle(batch([message(reading())], EVERY_TYPE), url).loaded == 1
        finally:
            server.stop()

    def test_an_owner_who_is_no_superuser_is_enough(self, tmp_path: Path) -> None:
        """As docs/roles.md makes one; what the functions do, they do with this owner's rights."""
        server = EmbeddedPostgres(tmp_path)
        try:
            own = server.start()
            with member_of(own, attributes="CREATEROLE") as url:
                owner = urlsplit(url).username
                ask(own, f"GRANT CREATE ON DATABASE warehouse TO {owner}")
                ask(own, f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}")

                assert migrate(url, [FEED, EVERY_TYPE]).left_out == ()

                assert_matrix(own)
                fill(own)
                with member_of(own, "loader") as loader:
                    assert settle(batch(logins(3)), loader).loaded == 3
                with custodian(own) as eve:
                    number = request_unmask(eve, request("v1.bob"))
                    assert open_request(eve, number) == [("v1.bob", b"v1.bob")]
                    assert forget(eve, request("v1.bob"), []) == ["v1.bob"]
        finally:
            server.stop()


class TestWork:
    """What each role is for, done by a log-in that is a member of it and nothing else."""

    def test_a_loader_runs_the_job_and_looks(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Everything that the pipeline itself does: sink, load, checks, status."""
        migrate(world.postgres_url, [FEED])
        bodies = [*sample_bodies(), "not JSON", "not JSON either"]
        with member_of(world.postgres_url, "loader") as url:
            monkeypatch.setenv("PIPELINE_POSTGRES_URL", url)
            world.send(bodies)
            result = world.run()
            status = read_status(Outside.of(os.environ), FEED)

        checks = result.get_asset_check_evaluations()
        assert result.success
        assert {check.passed for check in checks} == {True}
        assert (status.rows, status.quarantined, len(status.last_runs)) == (99, 3, 1)

    def test_a_loader_settles_what_comes_again_or_differs(self, warehouse: str) -> None:
        changed = message(login(user_id="other"), event_id="event-0")
        with member_of(warehouse, "loader") as url:
            settle(batch(logins(3)), url)
            again = settle(batch([*logins(3), changed]), url)

        assert (again.loaded, again.duplicate) == (0, 3)
        assert again.quarantined == Counter(conflict=1)

    def test_a_loader_fills_the_vault_and_leaves_out_whom_it_forgets(self, warehouse: str) -> None:
        """It cannot read the vault, and need not."""
        email = replace(EVERY_TYPE.fields[1], policy=Vault())
        feed = replace(EVERY_TYPE, fields=(EVERY_TYPE.fields[0], email))
        with member_of(warehouse, "loader") as url:
            settle(batch([message(reading())], feed), url)
            ask(
                warehouse,
                "INSERT INTO pipeline.forgotten SELECT feed, field, subject FROM pipeline.vault;"
                "DELETE FROM pipeline.vault",
            )
            settle(
                batch(
                    [message(reading(id=place, email=f"{place}@x.org")) for place in (8, 9)]
                    + [message(reading(id=10))],
                    feed,
                ),
                url,
            )

        assert ask(warehouse, "SELECT count(*) FROM lab.readings") == [(4,)]
        assert ask(warehouse, "SELECT count(*) FROM pipeline.vault") == [(2,)]

    def test_a_custodian_deletes_rows_by_their_pseudonym(self, warehouse: str) -> None:
        settle(batch(logins(2)), warehouse)
        ((pseudonym,),) = ask(warehouse, "SELECT masked_ip FROM user_logins LIMIT 1")

        with member_of(warehouse, "custodian") as url:
            ask(url, "DELETE FROM user_logins WHERE masked_ip = %s", pseudonym)

        assert ask(warehouse, "SELECT count(*) FROM user_logins") == [(0,)]
