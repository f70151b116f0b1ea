"""A warehouse that would fail with a batch in hand, or lose it later, is refused before that."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
import pytest

from pipeline.consume.readiness import check_sink
from pipeline.errors import TableMismatch
from pipeline.feeds.user_logins import FEED
from pipeline.masking.key_file import KeyFile
from pipeline.masking.policies import Vault
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import batch, logins, settle, users
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import message

WITH_A_VAULT: Final = replace(
    FEED,
    fields=tuple(
        replace(each, policy=Vault()) if each.path == "ip" else each for each in FEED.fields
    ),
)

TAKEN_AWAY: Final = {
    "temporary tables": "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC, loader",
    "the ledger, to read": "REVOKE SELECT ON pipeline.ledger FROM loader",
    "what has left the quarantine": "REVOKE SELECT ON pipeline.quarantine_left FROM loader",
    "a table without rules": "CREATE TABLE copies (LIKE user_logins); CREATE RULE also AS"
    " ON INSERT TO user_logins DO ALSO INSERT INTO copies SELECT NEW.*",
    "row security without a policy": "ALTER TABLE user_logins ENABLE ROW LEVEL SECURITY",
}
"""What a load needs, and how it is taken from it."""

FORGETFUL: Final = {
    "public.user_logins": "ALTER TABLE user_logins SET UNLOGGED",
    "public.rest": "CREATE TABLE given (LIKE user_logins) PARTITION BY LIST (locale);"
    "DROP TABLE user_logins; ALTER TABLE given RENAME TO user_logins;"
    "CREATE UNLOGGED TABLE rest PARTITION OF user_logins DEFAULT",
    "pipeline.ledger": "ALTER TABLE pipeline.ledger SET UNLOGGED",
    "pipeline.quarantine": "ALTER TABLE pipeline.quarantine SET UNLOGGED",
}
"""The table that loses its rows, and how it has come to that."""


@pytest.fixture
def check(tmp_path: Path) -> Callable[[str], object]:
    """The check, for the warehouse at a URL."""
    keyring = KeyFile(tmp_path / "keyring.json")
    return lambda url: check_sink(WITH_A_VAULT, url=url, keyring=keyring)


@pytest.fixture
def loader(warehouse_url: str, check: Callable[[str], object]) -> Iterator[str]:
    """The URL of a log-in that may load, and no more, in a warehouse that is prepared."""
    check(warehouse_url)
    with member_of(warehouse_url, "loader") as url:
        yield url


@pytest.mark.parametrize("what", TAKEN_AWAY)
def test_what_a_load_would_fail_for_is_found_before_anything_is_received(
    warehouse_url: str, loader: str, check: Callable[[str], object], what: str
) -> None:
    """Fault 51."""
    check(loader)
    ask(warehouse_url, TAKEN_AWAY[what].format(database=warehouse_url.rpartition("/")[2]))

    with pytest.raises(TableMismatch):
        check(loader)
    with pytest.raises(TableMismatch):  # so it would have failed, and each message with it
        settle(batch(logins(1)), loader)


def test_row_security_that_lets_the_loader_in_is_none_of_our_business(
    warehouse_url: str, loader: str, check: Callable[[str], object]
) -> None:
    ask(
        warehouse_url,
        "ALTER TABLE user_logins ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY loading ON user_logins FOR INSERT TO loader WITH CHECK (true)",
    )
    check(loader)
    assert settle(batch(logins(3)), loader).loaded == 3


@pytest.mark.parametrize("table", FORGETFUL)
def test_a_table_that_a_crash_empties_is_refused(
    warehouse_url: str, check: Callable[[str], object], table: str
) -> None:
    """Fault 51: its rows are gone after a crash, and so are the messages."""
    check(warehouse_url)
    ask(warehouse_url, FORGETFUL[table])
    with pytest.raises(TableMismatch, match=f"table {table} loses its rows"):
        check(warehouse_url)


def test_a_database_that_cannot_hold_every_letter_is_refused(
    warehouse_url: str, check: Callable[[str], object]
) -> None:
    """Fault 51: one name in another script would keep the whole batch from it."""
    server, _, name = warehouse_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        made = f"CREATE DATABASE {name}_latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
        connection.execute(f"{made} TEMPLATE template0".encode())
        try:
            with pytest.raises(TableMismatch, match="encoding LATIN1"):
                check(f"{warehouse_url}_latin")
        finally:
            connection.execute(f"DROP DATABASE {name}_latin".encode())


def test_a_table_of_a_name_that_is_ours_for_a_moment_is_left_alone(
    warehouse_url: str, check: Callable[[str], object]
) -> None:
    """Fault 51: a `search_path` that names `pg_temp` last finds the others first."""
    check(warehouse_url)
    for name in ("incoming", "sealed", "refused"):
        ask(warehouse_url, f"CREATE TABLE {name} (a integer)")
    url = f"{warehouse_url}?options=-c%20search_path%3Dpublic%2Cpg_temp"
    check(url)

    account = settle(batch([*logins(2), message("{")], WITH_A_VAULT), url)

    assert (account.loaded, account.quarantined.total()) == (2, 1)
    assert users(warehouse_url) == ["user-0", "user-1"]
