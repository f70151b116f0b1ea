"""The running totals of a feed: exact whoever commits beside whom, and there when accounts go."""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import psycopg
import pytest

from pipeline.consume.totals import add_failure, add_success
from pipeline.errors import KeyringError, UnexpectedError, WarehouseUnavailable
from pipeline.feeds.user_logins import FEED
from pipeline.operate.metrics.reading import TotalReading
from pipeline.operate.metrics.warehouse import read_warehouse
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import batch, logins, prepared, settle
from pipeline_tests.migration_case import lent, make_at, prepare_at
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import login, message
from pipeline_tests.world import World, sample_bodies

ADD: Final = (
    "INSERT INTO pipeline.account (batch_id, feed, run_id, received, loaded, duplicate,"
    " quarantined) VALUES (gen_random_uuid(), 'user_logins', 'run', 2, 2, 0, 0)"
)


def total(url: str) -> TotalReading:
    return read_warehouse(url, [FEED]).totals[FEED.name]


def counted(url: str) -> Mapping[str, int]:
    return {name: count for name, count in total(url).counts.items() if count}


def test_a_batch_adds_its_account_and_its_reasons(warehouse_url: str) -> None:
    prepared(warehouse_url)
    bad = [message("not JSON"), message("nor this"), message(login(ip="nowhere"), event_id="bad")]

    settle(batch([*logins(3), *bad]), warehouse_url)
    settle(batch(logins(4)), warehouse_url)

    assert counted(warehouse_url) == {
        "batches": 2, "received": 10, "loaded": 4, "duplicate": 3, "quarantined": 3,
    }  # fmt: skip
    assert total(warehouse_url).reasons == {"not_json": 2, "bad_address": 1}
    assert total(warehouse_url).committed_at is not None


def test_what_is_undone_is_not_counted(warehouse_url: str) -> None:
    prepared(warehouse_url)
    with psycopg.connect(warehouse_url) as connection:
        connection.execute(ADD.encode())
        connection.rollback()

    assert read_warehouse(warehouse_url, [FEED]).totals == {}


def test_nobody_waits_for_a_client_that_died_before_its_commit(warehouse_url: str) -> None:
    """A hanging transaction holds its slot; the others take another, and the sum is right."""
    prepared(warehouse_url)
    ask(warehouse_url, ADD)  # a slot that both find
    with psycopg.connect(warehouse_url) as hanging:
        hanging.execute(ADD.encode())
        with psycopg.connect(warehouse_url) as other:
            other.execute("SET lock_timeout = '1s'")
            for _ in range(3):
                other.execute(ADD.encode())
                other.commit()
        assert counted(warehouse_url) == {"batches": 4, "received": 8, "loaded": 8}
    assert counted(warehouse_url) == {"batches": 5, "received": 10, "loaded": 10}


def test_many_side_by_side_lose_nothing(warehouse_url: str) -> None:
    prepared(warehouse_url)
    together = threading.Barrier(6, timeout=10)

    def work(_: int) -> None:
        with psycopg.connect(warehouse_url) as connection:
            together.wait()
            for _ in range(20):
                connection.execute(ADD.encode())
                connection.commit()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))

    assert counted(warehouse_url) == {"batches": 120, "received": 240, "loaded": 240}
    assert ask(warehouse_url, "SELECT count(*) <= 6 FROM pipeline.total") == [(True,)]


def test_totals_stay_when_accounts_are_pruned(warehouse_url: str) -> None:
    prepared(warehouse_url)
    settle(batch(logins(3)), warehouse_url)
    ask(warehouse_url, "UPDATE pipeline.account SET committed_at = now() - interval '400 days'")

    ask(warehouse_url, "SELECT pipeline.prune('account', 366, NULL, 1000)")

    assert ask(warehouse_url, "SELECT count(*) FROM pipeline.account") == [(0,)]
    assert counted(warehouse_url) == {"batches": 1, "received": 3, "loaded": 3}


def test_an_upgrade_begins_with_the_accounts_that_there_are(warehouse_url: str) -> None:
    make_at(warehouse_url, "0005")
    with lent(warehouse_url, "0005"):
        settle(batch([*logins(5), message("not JSON")]), warehouse_url)
    prepare_at(warehouse_url)

    assert counted(warehouse_url) == {
        "batches": 1, "received": 6, "loaded": 5, "quarantined": 1,
    }  # fmt: skip
    assert total(warehouse_url).reasons == {"unknown": 1}


def test_a_run_tells_its_stages_and_how_old_its_messages_were(world: World) -> None:
    world.send(sample_bodies())
    world.ingest()

    found = total(world.postgres_url)

    assert found.runs == {"success": 1}
    assert {"receive", "decode", "mask", "load", "acknowledge"} <= set(found.seconds)
    assert found.succeeded_at is not None
    assert found.oldest_seconds is not None
    assert found.oldest_seconds > 86_400  # the clock of the queue stands still, in 2023


def test_a_run_that_fails_is_counted_by_its_code(world: World) -> None:
    world.ingest()
    world.send(sample_bodies())
    world.keyring.unlink()

    assert not world.run().success

    assert total(world.postgres_url).runs == {"success": 1, KeyringError.code: 1}


def test_an_error_of_nobodys_is_unexpected(warehouse_url: str) -> None:
    prepared(warehouse_url)
    add_failure(FEED, warehouse_url, ValueError("withheld"))
    assert total(warehouse_url).runs == {UnexpectedError.code: 1}


def test_a_warehouse_that_was_down_is_not_waited_for_again(warehouse_url: str) -> None:
    prepared(warehouse_url)
    add_failure(FEED, warehouse_url, WarehouseUnavailable("down", remedy="wait"))
    assert read_warehouse(warehouse_url, [FEED]).totals == {}


def test_what_cannot_be_counted_fails_no_run(
    warehouse_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A warehouse without the function: that of older tables."""
    add_success(FEED, warehouse_url, seconds={"load": 1.0}, oldest=0.0)
    assert "the run is missing in the totals: E_TABLE_MISMATCH" in caplog.text


def test_the_loader_adds_and_cannot_change(warehouse_url: str) -> None:
    prepared(warehouse_url)
    with member_of(warehouse_url, "loader") as url:
        add_success(FEED, url, seconds={"load": 0.5}, oldest=1.5)
        with (
            psycopg.connect(url) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("UPDATE pipeline.total SET received = 0")
    assert total(warehouse_url).seconds == {"load": 0.5}
    assert total(warehouse_url).oldest_seconds == 1.5


def test_a_run_without_an_outcome_is_refused(warehouse_url: str) -> None:
    prepared(warehouse_url)
    for outcome in ("", "x" * 65, None):
        with psycopg.connect(warehouse_url) as connection:
            with pytest.raises(psycopg.Error) as refused:
                connection.execute(
                    "SELECT pipeline.add_run('user_logins', %s, NULL, NULL)", (outcome,)
                )
            assert refused.value.sqlstate == "PP021"


def test_a_warehouse_that_is_older_tells_what_it_has(warehouse_url: str) -> None:
    make_at(warehouse_url, "0005")
    found = read_warehouse(warehouse_url, [FEED])
    assert (found.version, found.totals) == ("0005", {})
