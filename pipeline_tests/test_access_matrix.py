"""What each role may do with each object: by the catalog and by trying, and nothing besides."""

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.feeds.user_logins import FEED
from pipeline.warehouse.access import ROLES
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import (
    EVERYBODY,
    assert_matrix,
    columns,
    member_of,
    objects,
    wanted,
)
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import EVERY_TYPE


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse with everything in it, and a feed in a schema of its own."""
    migrate(warehouse_url, [FEED, EVERY_TYPE])
    return warehouse_url


def attempts(url: str, found: list[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], str]]:
    """For each thing that can be tried: (privilege, object), and a statement that needs it."""
    for kind, name in found:
        if kind == "table":
            yield ("TRUNCATE", name), f"TRUNCATE {name}"
            yield ("DELETE", name), f"DELETE FROM {name} WHERE false"
            yield ("SELECT", name), f"SELECT * FROM {name}"
            for column in columns(url, name):
                yield ("SELECT", f"{name}.{column}"), f"SELECT {column} FROM {name}"
                yield (
                    ("INSERT", f"{name}.{column}"),
                    f"INSERT INTO {name} ({column}) VALUES (DEFAULT)",
                )
                yield (
                    ("UPDATE", f"{name}.{column}"),
                    f"UPDATE {name} SET {column} = DEFAULT WHERE false",
                )
        elif kind == "sequence":
            yield ("USAGE", name), f"SELECT nextval('{name}')"
            yield ("SELECT", name), f"SELECT last_value FROM {name}"
            yield ("UPDATE", name), f"SELECT setval('{name}', 1)"
        elif kind == "function":
            bare, _, arguments = name.removesuffix(")").partition("(")
            nulls = ", ".join(f"NULL::{each}" for each in arguments.split(",") if each)
            yield ("EXECUTE", name), f"SELECT {bare}({nulls})"
        elif kind == "schema":
            yield ("CREATE", name), f"CREATE TABLE {name.removeprefix('schema ')}.mine ()"
        else:
            yield ("TEMPORARY", name), "CREATE TEMPORARY TABLE mine ()"
            yield ("CREATE", name), "CREATE SCHEMA mine"


def is_permitted(connection: psycopg.Connection, statement: str) -> bool:
    """Whether a statement gets past the rights; what it is refused for after that is no matter."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.errors.IntegrityError:  # a column that must be filled
        return True
    except psycopg.Error as error:
        assert (error.sqlstate or "")[:2] == "PP"  # noqa: PT017 - a rule of our own functions
    return True


class TestMatrix:
    """Every role, every object, every privilege."""

    def test_the_catalog_says_the_same(self, warehouse: str) -> None:
        assert_matrix(warehouse)

    @pytest.mark.parametrize("role", EVERYBODY)
    def test_trying_says_the_same(self, warehouse: str, role: str) -> None:
        found = objects(warehouse)
        groups = () if role == "public" else (role,)
        with member_of(warehouse, *groups) as url, psycopg.connect(url) as connection:
            tried = {
                what: is_permitted(connection, statement)
                for what, statement in attempts(warehouse, found)
            }
        assert len(tried) > 150
        permitted = {what for what, may in tried.items() if may}
        assert permitted == {what for what in wanted(warehouse, role) if what in tried}

    def test_no_role_is_more_than_a_group(self, warehouse: str) -> None:
        assert ask(
            warehouse,
            "SELECT bool_or(rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb"
            " OR rolreplication OR rolbypassrls), count(*) FROM pg_roles WHERE rolname = ANY(%s)",
            list(ROLES),
        ) == [(False, len(ROLES))]

    def test_no_role_is_a_member_of_another(self, warehouse: str) -> None:
        assert (
            ask(
                warehouse,
                "SELECT pg_get_userbyid(roleid), pg_get_userbyid(member) FROM pg_auth_members"
                " WHERE pg_get_userbyid(member) = ANY(%s)",
                list(ROLES),
            )
            == []
        )

    def test_every_function_finds_only_what_it_means(self, warehouse: str) -> None:
        paths = ask(
            warehouse,
            "SELECT DISTINCT proconfig FROM pg_proc WHERE pronamespace = 'pipeline'::regnamespace",
        )

        assert paths == [(["search_path=pg_catalog, pg_temp"],)]
