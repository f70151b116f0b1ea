"""A feed's table is made from its contract, or held against it and otherwise left alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
import pytest

from pipeline.contract import Feed
from pipeline.errors import KeyringError, TableMismatch
from pipeline.feeds.user_logins import FEED
from pipeline.masking.keyring import Keyring
from pipeline.warehouse.tables import prepare, recall_fingerprint, tie_keyring
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import EVERY_TYPE, KEYRING

ROOT: Final = bytes(range(64))
GIVEN = """
    CREATE TABLE IF NOT EXISTS user_logins(
        user_id varchar(128), device_type varchar(32), masked_ip varchar(256),
        masked_device_id varchar(256), locale varchar(32), app_version integer, create_date date)
"""
_COLUMNS = """
    SELECT attname, format_type(atttypid, atttypmod), attnotnull, atthasdef
    FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum
"""


def _prepare(url: str, feed: Feed) -> None:
    with psycopg.connect(url) as connection:
        prepare(connection, feed)


def test_a_table_is_made_as_it_would_have_been_given(warehouse_url: str) -> None:
    _prepare(warehouse_url, FEED)
    ask(warehouse_url, f"CREATE SCHEMA given; SET search_path TO given; {GIVEN}")

    made = ask(warehouse_url, _COLUMNS, "public.user_logins")

    assert made == ask(warehouse_url, _COLUMNS, "given.user_logins")
    assert len(made) == 7


def test_a_name_without_a_schema_means_the_feeds_table(warehouse_url: str) -> None:
    """Our own schema must not come first for the embedded server's user, as "$user" would."""
    _prepare(warehouse_url, FEED)
    ask(warehouse_url, GIVEN)
    assert ask(
        warehouse_url, "SELECT schemaname FROM pg_tables WHERE tablename = 'user_logins'"
    ) == [("public",)]


def test_a_given_table_stays_as_it_is(warehouse_url: str) -> None:
    ask(warehouse_url, GIVEN)
    ask(warehouse_url, "INSERT INTO user_logins (user_id) VALUES ('here before')")
    # A catalogue row gets a new xmin by any ALTER, index, constraint, trigger or right.
    state = "SELECT xmin::text, c.* FROM pg_class c WHERE oid = 'public.user_logins'::regclass"
    before = ask(warehouse_url, state)

    _prepare(warehouse_url, FEED)
    _prepare(warehouse_url, FEED)

    assert ask(warehouse_url, state) == before
    assert ask(warehouse_url, "SELECT user_id FROM user_logins") == [("here before",)]


def test_a_table_is_made_in_its_schema(warehouse_url: str) -> None:
    _prepare(warehouse_url, EVERY_TYPE)

    assert [(name, kind) for name, kind, *_ in ask(warehouse_url, _COLUMNS, "lab.readings")] == [
        ("id", "bigint"),
        ("email", "character varying(256)"),
        ("level", "character varying(8)"),
        ("ip", "character varying(256)"),
        ("room", "integer"),
        ("firmware", "integer"),
        ("celsius", "double precision"),
        ("sound", "boolean"),
        ("measured_at", "timestamp with time zone"),
        ("installed_on", "date"),
        ("note", "character varying(20)"),
        ("sent_at", "timestamp with time zone"),
    ]


def test_a_table_that_was_made_fits(warehouse_url: str) -> None:
    _prepare(warehouse_url, EVERY_TYPE)
    _prepare(warehouse_url, EVERY_TYPE)


def test_a_table_of_the_same_name_elsewhere_is_not_taken_for_it(warehouse_url: str) -> None:
    """Fault 55."""
    database = warehouse_url.rpartition("/")[2]
    ask(warehouse_url, "CREATE SCHEMA other; CREATE TABLE other.user_logins (a integer)")
    ask(warehouse_url, f"ALTER DATABASE {database} SET search_path TO other")

    _prepare(warehouse_url, FEED)

    assert len(ask(warehouse_url, _COLUMNS, "public.user_logins")) == 7


@pytest.mark.parametrize(
    ("change", "field", "rule"),
    [
        ("DROP COLUMN locale", "locale", "the table lacks this column"),
        (
            "ALTER COLUMN masked_ip TYPE varchar(40)",
            "masked_ip",
            "the column is character varying(40), the contract wants varchar(256)",
        ),
        (
            "ALTER COLUMN create_date TYPE timestamptz",
            "create_date",
            "the column is timestamp with time zone, the contract wants date",
        ),
        (
            "ALTER COLUMN app_version TYPE smallint",
            "app_version",
            "the column is smallint, the contract wants integer",
        ),
        (
            "ALTER COLUMN app_version TYPE numeric(4, 0)",
            "app_version",
            "the column is numeric(4,0), the contract wants integer",
        ),
        (
            "ALTER COLUMN user_id TYPE varchar(200)[] USING ARRAY[user_id]",
            "user_id",
            "the column is character varying(200)[], the contract wants varchar(128)",
        ),
        (
            "ALTER COLUMN locale SET NOT NULL",
            "locale",
            "the contract allows null, the column does not",
        ),
        (
            "ALTER COLUMN locale SET NOT NULL, ALTER COLUMN locale SET DEFAULT 'XX'",
            "locale",
            "the contract allows null, the column does not",
        ),
        (
            "ADD COLUMN tenant integer NOT NULL",
            "tenant",
            "the column must be filled, and the contract does not name it",
        ),
    ],
)
def test_a_table_that_differs_is_refused(
    warehouse_url: str, change: str, field: str, rule: str
) -> None:
    """Fault 51."""
    ask(warehouse_url, f"{GIVEN}; ALTER TABLE user_logins {change}")

    with pytest.raises(TableMismatch) as caught:
        _prepare(warehouse_url, FEED)

    assert (caught.value.feed, caught.value.field, caught.value.rule) == (
        "user_logins",
        field,
        rule,
    )


@pytest.mark.parametrize(
    "change",
    [
        "ALTER COLUMN masked_ip TYPE text",
        "ALTER COLUMN masked_ip TYPE varchar",
        "ALTER COLUMN masked_ip TYPE varchar(300)",
        "ALTER COLUMN app_version TYPE bigint",
        "ALTER COLUMN app_version TYPE numeric",
        "ALTER COLUMN user_id SET NOT NULL",
        "ADD COLUMN loaded_at timestamptz NOT NULL DEFAULT now()",
        "ADD COLUMN note text",
        "ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY",
        "ADD COLUMN twice integer GENERATED ALWAYS AS (app_version * 2) STORED",
    ],
)
def test_a_table_that_holds_more_than_the_contract_asks_for_fits(
    warehouse_url: str, change: str
) -> None:
    ask(warehouse_url, f"{GIVEN}; ALTER TABLE user_logins {change}")
    before = ask(warehouse_url, _COLUMNS, "user_logins")

    _prepare(warehouse_url, FEED)

    assert ask(warehouse_url, _COLUMNS, "user_logins") == before


@pytest.fixture
def reader(warehouse_url: str) -> Iterator[str]:
    """A role that may use the schemas and read, and nothing else."""
    ask(
        warehouse_url,
        "CREATE ROLE reader; GRANT USAGE ON SCHEMA public, pipeline TO reader;"
        "GRANT SELECT ON pipeline.schema_version TO reader",
    )
    yield "reader"
    ask(warehouse_url, "DROP OWNED BY reader; DROP ROLE reader")


@pytest.fixture
def _prepared(warehouse_url: str) -> None:
    _prepare(warehouse_url, FEED)


@pytest.mark.usefixtures("_prepared")
class TestRights:
    """Of a role that did not make the tables."""

    def test_a_role_that_may_not_insert_is_refused(self, warehouse_url: str, reader: str) -> None:
        """Fault 51."""
        with psycopg.connect(warehouse_url) as connection:
            connection.execute(f"SET ROLE {reader}".encode())
            with pytest.raises(TableMismatch) as caught:
                prepare(connection, FEED)

        assert caught.value.field == "user_id"
        assert caught.value.rule == "the role may not insert into this column"

    def test_the_right_is_asked_of_each_column(self, warehouse_url: str, reader: str) -> None:
        columns = ", ".join(each.name for each in FEED.fields if each.name != "locale")
        ask(warehouse_url, f"GRANT INSERT ({columns}) ON user_logins TO {reader}")

        with psycopg.connect(warehouse_url) as connection:
            connection.execute(f"SET ROLE {reader}".encode())
            with pytest.raises(TableMismatch) as caught:
                prepare(connection, FEED)

        assert caught.value.field == "locale"


def test_several_may_prepare_at_once(warehouse_url: str) -> None:
    """The first runs of a fresh deployment start together."""
    together = threading.Barrier(4, timeout=10)

    def work(feed: Feed) -> None:
        with psycopg.connect(warehouse_url) as connection:
            together.wait()
            prepare(connection, feed)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [FEED, EVERY_TYPE, FEED, EVERY_TYPE]))

    assert len(ask(warehouse_url, _COLUMNS, "lab.readings")) == 12
    assert len(ask(warehouse_url, _COLUMNS, "user_logins")) == 7


@pytest.mark.usefixtures("_prepared")
class TestFingerprint:
    """Of the keyring that a warehouse was filled with."""

    def test_a_new_warehouse_has_none(self, warehouse_url: str) -> None:
        with psycopg.connect(warehouse_url) as connection:
            assert recall_fingerprint(connection) is None

    def test_the_first_one_is_kept(self, warehouse_url: str) -> None:
        with psycopg.connect(warehouse_url) as connection:
            tie_keyring(connection, KEYRING)
            tie_keyring(connection, KEYRING)
            assert recall_fingerprint(connection) == KEYRING.fingerprint

        assert ask(warehouse_url, "SELECT count(*) FROM pipeline.keyring_version") == [(1,)]

    def test_another_one_is_refused(self, warehouse_url: str) -> None:
        """Fault 70; and it leaves no trace, whatever versions it has."""
        other = Keyring({1: bytes(64), 2: ROOT}, current=2)
        with psycopg.connect(warehouse_url) as connection:
            tie_keyring(connection, KEYRING)
            with pytest.raises(KeyringError, match="not the keyring that the warehouse"):
                tie_keyring(connection, other)
            assert recall_fingerprint(connection) == KEYRING.fingerprint

        versions = ask(warehouse_url, "SELECT version, fingerprint FROM pipeline.keyring_version")
        assert versions == [(1, KEYRING.fingerprint)]

    @pytest.mark.parametrize("roots", [{1: ROOT}, {1: ROOT, 2: ROOT[::-1]}, {1: ROOT, 3: ROOT}])
    def test_one_that_has_lost_a_version_is_refused(
        self, warehouse_url: str, roots: dict[int, bytes]
    ) -> None:
        """Restored from an old backup, it would soon have another root for the same version."""
        newest = Keyring({1: ROOT, 2: bytes(64)}, current=2)
        with psycopg.connect(warehouse_url) as connection:
            tie_keyring(connection, newest)
            with pytest.raises(KeyringError, match=r"lacks version 2.* newest backup"):
                tie_keyring(connection, Keyring(roots, current=max(roots)))
            tie_keyring(connection, Keyring({1: ROOT, 2: bytes(64), 3: ROOT}, current=1))
