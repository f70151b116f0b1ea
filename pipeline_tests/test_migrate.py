"""An owner makes, upgrades and grants everything; whoever may not is told who may."""

import psycopg
import pytest

from pipeline.errors import TableMismatch, WarehouseUnavailable
from pipeline.feeds.user_logins import FEED
from pipeline.warehouse.migrate import Migration, migrate
from pipeline.warehouse.schema import HEAD
from pipeline.warehouse.tables import prepare
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import batch, logins, settle
from pipeline_tests.migration_case import dump, make_at, prepare_at, version_of
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import EVERY_TYPE


class TestRights:
    """Of log-ins that own nothing."""

    def test_one_that_may_not_upgrade_is_told_who_may(self, warehouse_url: str) -> None:
        make_at(warehouse_url, "0001")
        with member_of(warehouse_url) as url:
            ask(
                warehouse_url,
                "GRANT USAGE ON SCHEMA pipeline TO PUBLIC;"
                "GRANT SELECT ON pipeline.schema_version TO PUBLIC",
            )
            with pytest.raises(TableMismatch, match=r"version 0001.*pipeline migrate.*OWNER_URL"):
                migrate(url, [FEED])

        assert version_of(warehouse_url) == "0001"

    def test_one_that_may_make_nothing_is_told_who_may(self, warehouse_url: str) -> None:
        with (
            member_of(warehouse_url) as url,
            pytest.raises(TableMismatch, match=r"version none.*pipeline migrate"),
        ):
            migrate(url, [FEED])

    def test_a_loader_is_told_who_may_make_the_table_of_a_new_feed(
        self, warehouse_url: str
    ) -> None:
        prepare_at(warehouse_url)

        with (
            member_of(warehouse_url, "loader") as url,
            psycopg.connect(url) as connection,
            pytest.raises(TableMismatch, match=r"lab\.readings is not there.*pipeline migrate"),
        ):
            prepare(connection, EVERY_TYPE)

    @pytest.mark.parametrize("role", ["loader", "analyst", "custodian"])
    def test_a_member_of_a_role_is_told_who_may(self, warehouse_url: str, role: str) -> None:
        migrate(warehouse_url, [FEED])

        with (
            member_of(warehouse_url, role) as url,
            pytest.raises(TableMismatch, match=r"may not make or upgrade tables.*OWNER_URL"),
        ):
            migrate(url, [FEED])


class TestMigrate:
    """What an owner does before a deployment."""

    def test_everything_is_made(self, warehouse_url: str) -> None:
        assert migrate(warehouse_url, [FEED, EVERY_TYPE]) == Migration(None, HEAD, ())

        assert (
            len(
                ask(
                    warehouse_url,
                    "SELECT 1 FROM information_schema.tables"
                    " WHERE table_schema IN ('public', 'lab', 'pipeline')",
                )
            )
            == 18
        )

    def test_it_may_be_done_again(self, warehouse_url: str) -> None:
        migrate(warehouse_url, [FEED])
        assert settle(batch(logins(3)), warehouse_url).loaded == 3
        before = dump(warehouse_url)

        assert migrate(warehouse_url, [FEED]) == Migration(HEAD, HEAD, ())

        assert dump(warehouse_url) == before

    def test_a_table_that_differs_stops_all_of_it(self, warehouse_url: str) -> None:
        ask(warehouse_url, "CREATE TABLE user_logins (user_id integer)")

        with pytest.raises(TableMismatch, match="'user_id'"):
            migrate(warehouse_url, [EVERY_TYPE, FEED])

        assert version_of(warehouse_url) is None

    def test_a_server_that_takes_no_writes_is_an_outage(self, warehouse_url: str) -> None:
        name = warehouse_url.rpartition("/")[2]
        ask(warehouse_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

        with pytest.raises(WarehouseUnavailable, match="25006"):
            migrate(warehouse_url, [FEED])
