"""Nothing is received unless the batch could be masked and loaded now."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
import pytest

from pipeline.consume.readiness import check_sink
from pipeline.contract import Field
from pipeline.errors import KeyringError, TableMismatch, WarehouseUnavailable
from pipeline.feeds.user_logins import FEED
from pipeline.masking.key_file import KeyFile
from pipeline.masking.policies import IpCrypt, Vault
from pipeline.types import IpAddress
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import TABLES, batch, logins, settle
from pipeline_tests.outside_world import ask, unused_port

WITH_A_VAULT: Final = replace(
    FEED,
    fields=tuple(
        replace(each, policy=Vault()) if each.path == "ip" else each for each in FEED.fields
    ),
)


@pytest.fixture
def keyring(tmp_path: Path) -> Path:
    """Where the key file is to be."""
    return tmp_path / "keys" / "keyring.json"


def test_a_key_is_made_for_a_new_warehouse_and_kept(warehouse_url: str, keyring: Path) -> None:
    first = check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))
    made = keyring.read_bytes()
    second = check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))

    assert keyring.stat().st_mode & 0o777 == 0o600
    assert keyring.read_bytes() == made
    assert first.fingerprint == second.fingerprint
    stored = ask(warehouse_url, "SELECT fingerprint FROM pipeline.keyring")
    assert stored == [(first.fingerprint,)]


def test_everything_is_there_after_the_check(warehouse_url: str, keyring: Path) -> None:
    check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))

    tables = ask(
        warehouse_url,
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname IN ('public', 'pipeline') ORDER BY 1, 2",
    )
    assert tables == [
        ("pipeline", "account"),
        ("pipeline", "audit"),
        ("pipeline", "fetch"),
        ("pipeline", "fetch_page"),
        ("pipeline", "fetch_source"),
        ("pipeline", "forgotten"),
        ("pipeline", "idempotency"),
        ("pipeline", "keyring"),
        ("pipeline", "keyring_version"),
        ("pipeline", "ledger"),
        ("pipeline", "quarantine"),
        ("pipeline", "quarantine_left"),
        ("pipeline", "quarantine_taken"),
        ("pipeline", "schema_version"),
        ("pipeline", "total"),
        ("pipeline", "vault"),
        ("public", "user_logins"),
    ]


def test_a_key_version_that_the_contract_names_must_be_there(
    warehouse_url: str, keyring: Path
) -> None:
    """Fault 70: found now, and not when a batch is in hand."""
    fields = (Field("ip", IpAddress(), IpCrypt(key_version=7), personal=True),)
    feed = replace(FEED, fields=fields)
    with pytest.raises(KeyringError, match="has no version 7"):
        check_sink(feed, url=warehouse_url, keyring=KeyFile(keyring))


def test_a_lost_key_is_not_replaced(warehouse_url: str, keyring: Path) -> None:
    """Fault 70: a new one would give everybody a second pseudonym."""
    check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))
    keyring.unlink()

    with pytest.raises(KeyringError, match="does not exist"):
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))

    assert not keyring.exists()


def test_another_key_is_refused(warehouse_url: str, keyring: Path) -> None:
    """Fault 70."""
    check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))
    other = keyring.with_name("other.json")
    KeyFile(other).load_or_make()

    with pytest.raises(KeyringError, match="not the keyring that the warehouse"):
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(other))


def test_a_key_that_others_can_read_is_refused(warehouse_url: str, keyring: Path) -> None:
    """Fault 70."""
    KeyFile(keyring).load_or_make()
    keyring.chmod(0o640)

    with pytest.raises(KeyringError, match="can be read by others"):
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))


def test_an_outage_makes_no_key(keyring: Path) -> None:
    """Fault 43."""
    with unused_port() as port, pytest.raises(WarehouseUnavailable):
        check_sink(FEED, url=f"postgresql://u@127.0.0.1:{port}/d", keyring=KeyFile(keyring))

    assert not keyring.exists()


@pytest.mark.parametrize("prepared", [False, True])
def test_a_warehouse_that_takes_no_writes_is_an_outage(
    warehouse_url: str, keyring: Path, *, prepared: bool
) -> None:
    """Fault 49: as after a failover. Also where there is nothing left to be made."""
    if prepared:
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))
    name = warehouse_url.rpartition("/")[2]
    ask(warehouse_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    with pytest.raises(WarehouseUnavailable, match=r"25006.*'user_logins'"):
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))


def test_a_table_that_somebody_works_on_is_an_outage(warehouse_url: str, keyring: Path) -> None:
    """Fault 47: as while an index is made of it."""
    check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))
    with psycopg.connect(warehouse_url) as other:
        other.execute("LOCK TABLE user_logins IN SHARE MODE")

        with pytest.raises(WarehouseUnavailable, match=r"55P03.*'user_logins'"):
            check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))

    assert left_behind(warehouse_url) == 0
    check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))


def test_the_rehearsal_leaves_nothing(warehouse_url: str, keyring: Path) -> None:
    for _ in range(2):
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))

    assert left_behind(warehouse_url) == 0


def left_behind(url: str) -> int:
    """How many rows lie in all the tables that a load writes to."""
    ((rows,),) = ask(url, "SELECT " + " + ".join(f"(SELECT count(*) FROM {t})" for t in TABLES))
    assert isinstance(rows, int)
    return rows


class TestRights:
    """Of a role that may do what a load does, and nothing else."""

    @pytest.fixture
    def limited(self, warehouse_url: str, keyring: Path) -> Iterator[str]:
        """The URL for such a role, in a warehouse that is prepared."""
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))
        columns = ", ".join(each.name for each in FEED.fields)
        ask(
            warehouse_url,
            "CREATE ROLE limited; GRANT USAGE ON SCHEMA public, pipeline TO limited;"
            f"GRANT INSERT ({columns}) ON user_logins TO limited;"
            "GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA pipeline TO limited",
        )
        yield f"{warehouse_url}?options=-c%20role%3Dlimited"
        ask(warehouse_url, "DROP OWNED BY limited; DROP ROLE limited")

    def test_it_is_enough(self, limited: str, keyring: Path) -> None:
        """Also where the right is one on each column."""
        check_sink(FEED, url=limited, keyring=KeyFile(keyring))
        assert settle(batch(logins(3)), limited).loaded == 3

    @pytest.mark.parametrize("table", ["ledger", "quarantine", "account"])
    def test_a_right_that_is_missing_is_found_before_anything_is_received(
        self, warehouse_url: str, limited: str, keyring: Path, table: str
    ) -> None:
        """Fault 51."""
        ask(warehouse_url, f"REVOKE INSERT ON pipeline.{table} FROM limited")

        with pytest.raises(TableMismatch, match=r"SQLSTATE 42501"):
            check_sink(FEED, url=limited, keyring=KeyFile(keyring))

        assert left_behind(warehouse_url) == 0


class TestVault:
    """Of a feed that fills it, under a log-in that may do what a load does and nothing else."""

    @pytest.fixture
    def loader(self, warehouse_url: str, keyring: Path) -> Iterator[str]:
        """The URL for such a log-in, in a warehouse that is prepared."""
        check_sink(WITH_A_VAULT, url=warehouse_url, keyring=KeyFile(keyring))
        with member_of(warehouse_url, "loader") as url:
            yield url

    def test_it_is_enough(self, warehouse_url: str, loader: str, keyring: Path) -> None:
        check_sink(WITH_A_VAULT, url=loader, keyring=KeyFile(keyring))

        assert ask(warehouse_url, "SELECT count(*) FROM pipeline.vault") == [(0,)]

    @pytest.mark.parametrize(
        "right", ["INSERT (sealed) ON pipeline.vault", "SELECT (subject) ON pipeline.forgotten"]
    )
    def test_a_right_that_is_missing_is_found_before_anything_is_received(
        self, warehouse_url: str, loader: str, keyring: Path, right: str
    ) -> None:
        """Fault 51."""
        ask(warehouse_url, f"REVOKE {right} FROM loader")

        with pytest.raises(TableMismatch, match=r"SQLSTATE 42501"):
            check_sink(WITH_A_VAULT, url=loader, keyring=KeyFile(keyring))
        check_sink(FEED, url=loader, keyring=KeyFile(keyring))


def test_a_table_that_differs_makes_no_key(warehouse_url: str, keyring: Path) -> None:
    """Fault 51."""
    ask(warehouse_url, "CREATE TABLE user_logins (user_id integer)")

    with pytest.raises(TableMismatch, match="'user_id'"):
        check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))

    assert not keyring.exists()


def test_first_runs_that_start_together_agree_on_a_key(warehouse_url: str, keyring: Path) -> None:
    together = threading.Barrier(3, timeout=10)

    def work(_: int) -> bytes:
        together.wait()
        return check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring)).fingerprint

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(work, range(3)))) == 1


def test_of_two_machines_that_start_together_one_is_refused(
    warehouse_url: str, tmp_path: Path
) -> None:
    together = threading.Barrier(2, timeout=10)

    def work(keyring: Path) -> bool:
        together.wait()
        try:
            check_sink(FEED, url=warehouse_url, keyring=KeyFile(keyring))
        except KeyringError:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        ready = list(pool.map(work, [tmp_path / "one", tmp_path / "other"]))

    assert sorted(ready) == [False, True]
