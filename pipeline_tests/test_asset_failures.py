"""Each failure of the job ends in one clear error, and loses nothing."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
import pytest

from pipeline.consume.readiness import check_sink
from pipeline.errors import RunFailed
from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline_tests.samples import eventually
from pipeline_tests.world import World, admit, free_port, lock, sample_bodies

TABLE: Final = """
CREATE TABLE user_logins(
    user_id varchar(128), device_type varchar(32), masked_ip varchar(256),
    masked_device_id varchar(256), locale varchar(32), app_version integer, create_date date)
"""
BACK_OFF: Final = 10  # seconds after a first delivery


def fails_with(world: World, code: str) -> str:
    """Runs the job, which must fail with one error of ours; its text."""
    with pytest.raises(RunFailed) as caught:
        world.ingest()
    text = str(caught.value).partition("failed: ")[2]
    assert re.findall(r"\bE_[A-Z_]+", text) == [code]
    assert "Traceback" not in text
    return text


def assert_untouched(world: World, count: int) -> None:
    """Nobody has received any of the messages."""
    assert world.depth() == (count, 0)
    assert world.receive_counts() == [1] * count


def test_a_warehouse_that_is_down_costs_no_message_a_delivery(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 43, and invariant 7: a sick sink burns nothing."""
    world.send(sample_bodies()[:20])
    monkeypatch.setenv("PIPELINE_POSTGRES_URL", f"postgresql://a:b@127.0.0.1:{free_port()}/c")
    assert "the messages stay on the queue" in fails_with(world, "E_WAREHOUSE_UNAVAILABLE")
    assert world.app.calls["ReceiveMessage"] == 0
    assert_untouched(world, 20)


def test_a_warehouse_that_goes_down_before_the_load_gives_everything_back(world: World) -> None:
    """Fault 43: it was there when it was asked, and refuses the connection of the load."""
    world.send(sample_bodies())
    world.app.hooks["ReceiveMessage", 1] = lambda: admit(world.postgres_url, connections=False)
    fails_with(world, "E_WAREHOUSE_UNAVAILABLE")
    admit(world.postgres_url, connections=True)
    assert_comes_back(world)


def test_a_connection_that_is_lost_during_the_load_gives_everything_back(world: World) -> None:
    """Fault 43: the backend dies in the middle of the transaction."""
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    world.send(sample_bodies())
    with (
        psycopg.connect(world.postgres_url) as blocker,
        psycopg.connect(world.postgres_url, autocommit=True) as killer,
        ThreadPoolExecutor(1) as other,
    ):
        world.app.hooks["ReceiveMessage", 1] = lambda: lock(blocker, "pipeline.account")
        failing = other.submit(fails_with, world, "E_WAREHOUSE_UNAVAILABLE")
        eventually(lambda: terminated_a_waiter(killer))
        failing.result()
    assert_comes_back(world)


def terminated_a_waiter(connection: psycopg.Connection) -> bool:
    """Whether a session of the run waited for a lock, and is ended now."""
    return bool(
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ).fetchall()
    )


def assert_comes_back(world: World) -> None:
    """All hundred messages are hidden for the back-off and no longer, and then load."""
    assert world.depth() == (0, 100)
    assert world.query("SELECT count(*) FROM pipeline.account") == [(0,)]
    world.clock.now += BACK_OFF
    assert world.depth() == (100, 0)
    assert world.ingest()["rows"] == 99
    assert world.query("SELECT DISTINCT receive_count FROM pipeline.quarantine") == [(2,)]
    assert world.depth() == (0, 0)


@pytest.mark.parametrize(
    ("alteration", "named"),
    [
        ("ALTER TABLE user_logins DROP COLUMN masked_ip", "masked_ip"),
        ("ALTER TABLE user_logins ALTER create_date TYPE text", "create_date"),
        ("ALTER TABLE user_logins ADD tenant int NOT NULL", "tenant"),
    ],
)
def test_a_table_that_differs_from_the_contract_is_named_before_anything_is_received(
    world: World, alteration: LiteralString, named: str
) -> None:
    world.query(TABLE)
    world.query(alteration)
    world.send(sample_bodies()[:5])
    text = fails_with(world, "E_TABLE_MISMATCH")
    assert f"field '{named}'" in text
    assert "feed 'user_logins'" in text
    assert_untouched(world, 5)


@pytest.mark.parametrize("trouble", ["for others to read", "unreadable", "gone", "another"])
def test_a_keyring_that_cannot_be_trusted_is_refused_before_anything_is_received(
    world: World, trouble: str
) -> None:
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    world.send(sample_bodies()[:5])
    if trouble == "for others to read":
        world.keyring.chmod(0o644)
    elif trouble == "another":
        world.query("UPDATE pipeline.keyring SET fingerprint = sha256(fingerprint)")
    else:
        world.keyring.unlink()
    if trouble == "unreadable":  # a folder: root could read a file of any mode
        world.keyring.mkdir()
        world.keyring.chmod(0o700)
    assert "nothing was received" in fails_with(world, "E_KEYRING")
    assert_untouched(world, 5)


def test_a_missing_queue_is_named(world: World) -> None:
    world.sqs.delete_queue(QueueUrl=world.queue_url)
    assert "'login-queue' does not exist" in fails_with(world, "E_QUEUE_MISSING")


def test_a_dead_endpoint_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"http://127.0.0.1:{free_port()}")
    assert "does not answer" in fails_with(world, "E_QUEUE_UNREACHABLE")


def test_missing_credentials_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    world.send(sample_bodies()[:5])
    assert "credentials" in fails_with(world, "E_SETTINGS")
    assert_untouched(world, 5)


def test_half_a_configuration_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE_POSTGRES_URL")
    world.send(sample_bodies()[:5])
    assert "AWS_ENDPOINT_URL_SQS" in fails_with(world, "E_SETTINGS")
    assert_untouched(world, 5)
    assert not Path(world.environment["PIPELINE_LOCAL_DIR"]).exists()


def test_what_sqs_does_not_delete_fails_no_committed_run(world: World) -> None:
    """Faults 8 and 10: the redelivery is a duplicate, and then it is gone."""
    world.send(sample_bodies())
    with world.app.gate("DeleteMessageBatch", 3) as gate, ThreadPoolExecutor(1) as other:
        running = other.submit(world.ingest)
        assert gate.reached.wait(10)
        world.app.let_fail(gate)
        numbers: dict[str, Any] = dict(running.result())
    assert (numbers["rows"], numbers["not acknowledged"]) == (99, 80)
    world.clock.now += 1_000
    again = world.ingest()
    assert (again["rows"], again["duplicate"]) == (0, 80)
    assert world.query("SELECT count(*) FROM user_logins") == [(99,)]
