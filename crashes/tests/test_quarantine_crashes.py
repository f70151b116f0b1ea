"""A redrive in a process of its own, killed between any two steps: nothing is lost or doubled."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

import psycopg
import pytest

from pipeline_tests.crash_case import START, command
from pipeline_tests.quarantine_case import Ward, lacking, lenient, ward_in
from pipeline_tests.samples import eventually
from pipeline_tests.world import CLOCK_DAY, World, lock

MESSAGES: Final = 25

AT_A_CALL: Final = {
    # name: which call of SendMessageBatch, whether the queue still performs it
    "when it has taken the first ten": (1, False),
    "when they are sent, and it does not know": (1, True),
    "when ten have left, and ten are taken": (2, False),
    "when the last ones are sent, and it does not know": (3, True),
}
AT_A_TABLE: Final = {
    # name: the table that is locked, from which call of SendMessageBatch on; 0 is before it
    "when the order is recorded": ("pipeline.quarantine_taken", 0),
    "when it is about to note what it has sent": ("pipeline.quarantine_left", 2),
}


@pytest.fixture
def ward(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_in(world, monkeypatch) as ward:
        ids = [f"event-{place}" if place % 2 else "" for place in range(MESSAGES)]
        for place, event_id in enumerate(ids):
            send(ward, lacking(f"user-{place:02}"), event_id)
        assert ward.ingest().quarantined == {"missing": MESSAGES}
        ward.world.clock.now += 86_400  # a day: another date, if it were taken for the first
        yield ward


def send(ward: Ward, body: str, event_id: str) -> None:
    """A message of a producer that names the event, or of one that does not."""
    if event_id:
        ward.world.send([body], [event_id])
    else:
        ward.world.sqs.send_message(QueueUrl=ward.world.queue_url, MessageBody=body)


def redriving(ward: Ward) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """`pipeline quarantine redrive` as a process of its own, gone when the block ends."""
    order = ("quarantine", "redrive", "user_logins", "--all", "--reason", "ticket 12")
    return command(ward.environment, *order)


@pytest.mark.parametrize("moment", AT_A_CALL)
def test_killed_at_a_call_of_the_queue(ward: Ward, moment: str) -> None:
    nth, performed = AT_A_CALL[moment]
    with (
        ward.world.app.gate("SendMessageBatch", nth, performed=performed) as gate,
        redriving(ward) as process,
    ):
        assert gate.reached.wait(START)
        process.kill()
        process.wait()
    assert_complete(ward)


@pytest.mark.parametrize("moment", AT_A_TABLE)
def test_killed_where_it_waits_for_the_database(ward: Ward, moment: str) -> None:
    table, nth = AT_A_TABLE[moment]
    with psycopg.connect(ward.world.postgres_url) as holder:
        if nth:
            call = ward.world.app.calls["SendMessageBatch"] + nth
            ward.world.app.hooks["SendMessageBatch", call] = lambda: lock(holder, table)
        else:
            lock(holder, table)
        with redriving(ward) as process:
            eventually(waiting_in(holder), patience=START)
            process.kill()
            process.wait()
    assert_complete(ward)


def test_killed_at_the_commit(ward: Ward) -> None:
    """Whether it has committed is not known then: here it has."""
    ward.world.query(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;"
        " CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON pipeline.quarantine_left"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
    with psycopg.connect(ward.world.postgres_url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(7)")
        with redriving(ward) as process:
            eventually(waiting_in(holder), patience=START)
            process.kill()
            process.wait()
    ward.world.query("DROP TRIGGER dawdle ON pipeline.quarantine_left")
    assert_complete(ward)


def waiting_in(holder: psycopg.Connection) -> Callable[[], bool]:
    """Whether somebody waits for a lock in that database."""
    return lambda: bool(
        holder.execute(
            "SELECT 1 FROM pg_locks WHERE NOT granted AND database ="
            " (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()
    )


def assert_complete(ward: Ward) -> None:
    """Everything lands once, whether it is worked off before the redrive goes on or after it."""
    eventually(lambda: left_alone(ward), patience=START)
    lost = MESSAGES - sum(ward.reasons().values()) - ward.world.depth()[0]
    assert lost <= 0
    settled = ward.ingest(lenient())
    assert settled.adds_up
    ward.redrive()
    ward.ingest(lenient())
    assert ward.users() == [(f"user-{place:02}", CLOCK_DAY) for place in range(MESSAGES)]
    assert (ward.reasons(), ward.world.depth()) == ({}, (0, 0))
    assert ward.world.query("SELECT count(*) FROM pipeline.ledger") == [(MESSAGES,)]
    assert ward.world.query("SELECT how, count(*) FROM pipeline.quarantine_left GROUP BY 1") == [
        ("redriven", MESSAGES)
    ]


def left_alone(ward: Ward) -> bool:
    """Whether the server has noticed that the custodian's client is gone."""
    return ward.world.query(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE usename LIKE 'somebody%' AND datname = current_database()"
    ) == [(0,)]
