"""Every earlier version of our own tables is upgraded with its rows; no other is touched."""

import io
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psycopg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from pipeline.consume.readiness import check_sink
from pipeline.errors import TableMismatch
from pipeline.feeds.user_logins import FEED
from pipeline.masking.key_file import KeyFile
from pipeline.warehouse.migrate import migrate
from pipeline.warehouse.schema import HEAD, OLDEST, find_version, upgrade
from pipeline.warehouse.tables import prepare
from pipeline_tests.load_case import batch, counts, logins, settle
from pipeline_tests.migration_case import dump, lent, make_at, prepare_at, version_of
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import EVERY_TYPE, login, message

_ALEMBIC: Final = Config(output_buffer=io.StringIO())
_ALEMBIC.set_main_option("script_location", "pipeline.warehouse:migrations")
SCRIPTS: Final = ScriptDirectory.from_config(_ALEMBIC)
EARLIER: Final = [
    None,
    *sorted(each.revision for each in SCRIPTS.walk_revisions() if each.revision != HEAD),
]
"""Every version that a warehouse may have been left at."""

_STRUCTURE: Final = """
SELECT c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid), pg_get_indexdef(c.oid)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'pipeline'::regnamespace AND a.attnum > 0
      AND c.relkind IN ('r', 'i', 'S')
ORDER BY c.relname, a.attnum
"""


def test_the_code_and_alembic_agree_on_one_head() -> None:
    assert SCRIPTS.get_heads() == [HEAD]


def test_versions_are_numbered_one_after_the_other() -> None:
    """`schema` compares them as text, to tell a newer one from an older."""
    numbers = sorted(each.revision for each in SCRIPTS.walk_revisions())

    assert numbers == [f"{place:04}" for place in range(1, len(numbers) + 1)]


def test_nothing_is_downgraded() -> None:
    for each in SCRIPTS.walk_revisions():
        with pytest.raises(TableMismatch, match="never downgraded"):
            each.module.downgrade()


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_version_keeps_its_rows_and_goes_on(
    warehouse_url: str, version: str | None, tmp_path: Path
) -> None:
    make_at(warehouse_url, version)
    keyring = KeyFile(tmp_path / "keyring.json")
    fingerprint = keyring.load_or_make().fingerprint
    ask(warehouse_url, "INSERT INTO pipeline.keyring (fingerprint) VALUES (%s)", fingerprint)
    messages = [*logins(5), message("not JSON"), message(login(ip="nowhere"), event_id="bad")]
    # Today's load fills it, which names what came later.
    with lent(warehouse_url, version):
        assert settle(batch(messages), warehouse_url).loaded == 5
    before = dump(warehouse_url)
    assert all(before.values())

    check_sink(FEED, url=warehouse_url, keyring=keyring)

    assert version_of(warehouse_url) == HEAD
    assert dump(warehouse_url) == before
    again = settle(batch([*messages, *logins(6)[5:]]), warehouse_url)
    assert (again.loaded, again.duplicate, again.quarantined) == (1, 7, Counter())
    assert counts(warehouse_url)["user_logins"] == 6


@pytest.mark.parametrize("version", EARLIER)
def test_an_upgraded_warehouse_is_made_like_a_new_one(
    warehouse_url: str, version: str | None
) -> None:
    make_at(warehouse_url, version)
    prepare_at(warehouse_url)
    upgraded = ask(warehouse_url, _STRUCTURE)
    ask(warehouse_url, "DROP SCHEMA pipeline CASCADE")

    prepare_at(warehouse_url)

    assert ask(warehouse_url, _STRUCTURE) == upgraded
    assert len(upgraded) > 40


def test_an_upgrade_that_fails_leaves_what_was(warehouse_url: str) -> None:
    """Half a version is none."""
    make_at(warehouse_url, "0001")
    ask(warehouse_url, "CREATE TABLE pipeline.audit (in_the_way integer)")
    before = ask(warehouse_url, _STRUCTURE)

    with psycopg.connect(warehouse_url) as connection, pytest.raises(psycopg.errors.DuplicateTable):
        upgrade(connection)

    assert ask(warehouse_url, _STRUCTURE) == before
    assert version_of(warehouse_url) == "0001"


def test_a_current_warehouse_is_asked_and_not_locked(warehouse_url: str) -> None:
    """Each run looks; none waits for another."""
    prepare_at(warehouse_url)
    with psycopg.connect(warehouse_url) as other, psycopg.connect(warehouse_url) as connection:
        other.execute("LOCK TABLE pipeline.schema_version IN ROW EXCLUSIVE MODE")
        connection.execute("SET lock_timeout = '1s'")
        connection.execute("SET default_transaction_read_only = on")
        prepare(connection, FEED)
        locks = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"
        assert ask(warehouse_url, locks) == []


def test_a_run_that_finds_all_in_place_does_not_import_alembic(warehouse_url: str) -> None:
    prepare_at(warehouse_url)
    code = (
        "import sys, psycopg; from pipeline.feeds.user_logins import FEED;"
        "from pipeline.warehouse.tables import prepare;"
        "prepare(psycopg.connect(sys.argv[1]), FEED);"
        "sys.exit(bool({'alembic', 'sqlalchemy'} & set(sys.modules)))"
    )

    subprocess.run([sys.executable, "-c", code, warehouse_url], check=True, timeout=60)


@pytest.mark.parametrize("version", [f"{int(HEAD) + 1:04}", "9999"])
def test_a_newer_warehouse_is_left_alone(warehouse_url: str, version: str) -> None:
    prepare_at(warehouse_url)
    ask(warehouse_url, f"UPDATE pipeline.schema_version SET version_num = '{version}'")

    with pytest.raises(TableMismatch, match=f"of version {version}.*Deploy the newer code"):
        prepare_at(warehouse_url)

    assert version_of(warehouse_url) == version


@pytest.mark.parametrize("version", EARLIER)
def test_several_may_upgrade_at_once(warehouse_url: str, version: str | None) -> None:
    make_at(warehouse_url, version)
    together = threading.Barrier(4, timeout=10)

    def work(_: int) -> None:
        with psycopg.connect(warehouse_url) as connection:
            assert find_version(connection) == version  # and so knows that nothing is there
            together.wait()
            prepare(connection, EVERY_TYPE)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))

    assert ask(warehouse_url, "SELECT * FROM pipeline.schema_version") == [(HEAD,)]


def make_newer(url: str, oldest: str) -> str:
    """A warehouse that newer code has migrated, which promises to work with older code."""
    prepare_at(url)
    version = f"{int(HEAD) + 1:04}"
    ask(
        url,
        "ALTER TABLE pipeline.account ADD COLUMN of_newer_code text;"
        f"UPDATE pipeline.schema_version SET version_num = '{version}';"
        "COMMENT ON TABLE pipeline.schema_version IS"
        f" 'version {version} works with code of version {oldest} and later'",
    )
    return version


def test_a_newer_warehouse_that_works_with_this_code_is_filled(warehouse_url: str) -> None:
    version = make_newer(warehouse_url, HEAD)

    prepare_at(warehouse_url)

    assert settle(batch(logins(3)), warehouse_url).loaded == 3
    assert version_of(warehouse_url) == version


def test_one_that_works_with_newer_code_only_is_left_alone(warehouse_url: str) -> None:
    make_newer(warehouse_url, f"{int(HEAD) + 1:04}")

    with pytest.raises(TableMismatch, match="Deploy the newer code"):
        prepare_at(warehouse_url)


def test_older_code_does_not_migrate_a_newer_warehouse(warehouse_url: str) -> None:
    """It would take away the rights that it does not know."""
    version = make_newer(warehouse_url, HEAD)

    with pytest.raises(TableMismatch, match=f"of version {version}.*Migrate with the newer code"):
        migrate(warehouse_url, [FEED])


@pytest.mark.parametrize("version", EARLIER)
def test_an_upgraded_warehouse_says_what_code_works_with_it(
    warehouse_url: str, version: str | None
) -> None:
    make_at(warehouse_url, version)
    prepare_at(warehouse_url)

    assert ask(
        warehouse_url, "SELECT obj_description('pipeline.schema_version'::regclass, 'pg_class')"
    ) == [(f"version {HEAD} works with code of version {OLDEST} and later",)]
    assert OLDEST <= HEAD
