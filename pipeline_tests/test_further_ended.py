"""A run that fails or is interrupted among its batches: each of them is committed or given back."""

import inspect
import json
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Final

import dagster as dg
import psycopg
import pytest

from pipeline.consume import further
from pipeline.consume.readiness import check_sink
from pipeline.consume.settled import Settled
from pipeline.errors import QueueError, WarehouseUnavailable
from pipeline.masking.key_file import KeyFile
from pipeline_tests.checks_case import job
from pipeline_tests.delivery_case import Delivery
from pipeline_tests.enrich_case import failures
from pipeline_tests.further_case import Watched, first_batch, run, threads
from pipeline_tests.load_case import on_insert
from pipeline_tests.samples import CANARY, PATIENCE, eventually, login, small
from pipeline_tests.world import World

BATCH: Final = 20
FEED: Final = small(batch_messages=BATCH)
ONE_BY_ONE: Final = small(batch_messages=BATCH, receivers=1)
"""One thread receives a batch, in two calls."""

BACK_OFF: Final = 10  # seconds after a first delivery

_Going = Generator[Settled, None, None]


@pytest.fixture(autouse=True)
def _no_thread_goes_on() -> Iterator[None]:
    yield
    assert threads() == []


def assert_committed(way: Delivery, batches: int) -> None:
    """So many whole batches have their rows and are acknowledged, and none was too early."""
    assert way.rows("SELECT received, loaded FROM pipeline.account") == [(BATCH, BATCH)] * batches
    assert len(way.users()) == BATCH * batches
    assert way.witness.violations == []


class TestFailing:
    """One batch fails."""

    def test_it_is_released_and_the_one_beside_it_is_finished(self, way: Delivery) -> None:
        """Fault 43: those before stay committed, and none is received any more."""
        watched = Watched(way.ports)
        watched.before["begin 2"] = lambda: _fail_after(lambda: watched.has("begin 3"))
        # It is not over before the other one has been given back.
        watched.before["begin 3"] = lambda: eventually(
            lambda: watched.events.count("hidden 2") == 2
        )
        way.send(200)
        told = list[Settled]()

        with pytest.raises(WarehouseUnavailable, match="gone"):
            told.extend(run(FEED, watched.ports))

        assert [each.account.loaded for each in told] == [BATCH] * 2
        assert "check 4" not in watched.events
        assert_committed(way, 2)
        assert (way.depth().visible, way.depth().in_flight) == (140, BATCH)
        way.clock.advance(BACK_OFF)
        assert way.depth().in_flight == 0

    def test_nor_does_a_receive_that_fails_harm_the_one_beside_it(self, way: Delivery) -> None:
        watched = Watched(way.ports)

        def refuse() -> None:
            if watched.events.count("receive 3") == 2:
                eventually(lambda: watched.has("begin 2"))
                raise QueueError("SQS refused", remedy="none")

        watched.before["receive 3"] = refuse
        watched.before["begin 2"] = lambda: eventually(lambda: watched.has("hidden 3"))
        way.send(200)

        with pytest.raises(QueueError, match="SQS refused"):
            list(run(ONE_BY_ONE, watched.ports))

        assert "check 4" not in watched.events
        assert_committed(way, 2)
        assert (way.depth().visible, way.depth().in_flight) == (150, 10)

    def test_a_warehouse_that_goes_down_costs_no_further_batch_a_delivery(
        self, way: Delivery
    ) -> None:
        """Fault 43, and invariant 7: it is asked before each batch."""
        watched = Watched(way.ports)
        watched.before["check 3"] = lambda: _fail_after(lambda: True)
        way.send(200)

        with pytest.raises(WarehouseUnavailable, match="gone"):
            list(run(FEED, watched.ports))

        assert "receive 3" not in watched.events
        assert_committed(way, 2)
        assert (way.depth().visible, way.depth().in_flight) == (160, 0)

    def test_the_run_fails_with_one_error_and_no_value(self, world: World) -> None:
        """Postgres refuses the account of the last batch, which is the only one of its size."""
        check_sink(FEED, url=world.postgres_url, keyring=KeyFile(world.keyring))
        on_insert(
            world.postgres_url,
            f"IF NEW.received = 15 THEN RAISE '{CANARY}' USING ERRCODE = 'disk_full'; END IF;"
            " RETURN NEW;",
            table="pipeline.account",
        )
        world.send([json.dumps(login(user_id=f"{CANARY}-{place}")) for place in range(95)])

        with dg.DagsterInstance.ephemeral() as instance:
            result = job(FEED).execute_in_process(instance=instance, raise_on_error=False)
            stored = [str(entry) for entry in instance.all_logs(result.run_id)]

        assert not result.success
        (text,) = failures(result)
        assert "E_WAREHOUSE_UNAVAILABLE" in text
        assert [entry for entry in stored if CANARY in entry] == []
        assert world.query("SELECT count(*) FROM user_logins") == [(80,)]
        assert world.depth() == (0, 15)
        world.clock.now += BACK_OFF
        assert world.depth() == (15, 0)


def _fail_after(condition: Callable[[], bool]) -> None:
    eventually(condition)
    raise WarehouseUnavailable("gone", remedy="none")


def _going_on(watched: Watched) -> _Going:
    going = further.go_on(*first_batch(ONE_BY_ONE, watched.ports), "run-1")
    assert isinstance(going, Generator)
    return going


def _close(going: _Going) -> None:
    going.close()


def _throw(going: _Going) -> None:
    with pytest.raises(KeyboardInterrupt):
        going.throw(KeyboardInterrupt())


class TestInterrupted:
    """Somebody ends the run."""

    @pytest.mark.parametrize("end", [_close, _throw])
    def test_what_is_loaded_is_finished_and_all_else_is_given_back(
        self, way: Delivery, end: Callable[[_Going], None]
    ) -> None:
        watched, interrupted = Watched(way.ports), threading.Event()

        def until_interrupted() -> None:
            assert interrupted.wait(PATIENCE)
            eventually(lambda: inspect.getgeneratorstate(going) == inspect.GEN_RUNNING)

        watched.before["begin 3"] = until_interrupted
        watched.before["receive 4"] = until_interrupted
        way.send(200)
        going = _going_on(watched)
        assert next(going).account.loaded == BATCH
        eventually(lambda: watched.has("begin 3", "receive 4"))

        interrupted.set()
        end(going)

        assert threads() == []
        assert watched.events.count("receive 4") == 1
        assert watched.has("hidden 4")
        assert not {"begin 4", "check 5"}.intersection(watched.events)
        assert_committed(way, 3)
        assert (way.depth().visible, way.depth().in_flight) == (130, 10)

    def test_a_run_that_is_told_to_stop_leaves_nothing_in_flight(self, world: World) -> None:
        """For real: SIGTERM, while the second batch is loaded; the run would have fifty."""
        check_sink(FEED, url=world.postgres_url, keyring=KeyFile(world.keyring))
        on_insert(
            world.postgres_url,
            "PERFORM pg_advisory_xact_lock(1) WHERE NEW.received > 0; RETURN NEW;",
            table="pipeline.account",
        )
        world.send([json.dumps(login(user_id=f"user-{place}")) for place in range(1_000)])
        with psycopg.connect(world.postgres_url) as holder, dg.DagsterInstance.ephemeral() as kept:

            def hold_up() -> None:
                holder.execute("SELECT pg_advisory_lock(1)")

            def interrupt() -> None:
                os.kill(os.getpid(), signal.SIGTERM)
                holder.execute("SELECT pg_advisory_unlock(1)")

            world.app.hooks["ReceiveMessage", 3] = hold_up  # of the second batch
            world.app.hooks["ReceiveMessage", 5] = interrupt  # of the third one
            with pytest.raises(dg.DagsterExecutionInterruptedError):
                job(ONE_BY_ONE).execute_in_process(instance=kept)
            (stopped,) = kept.get_runs()

        world.clock.now += BACK_OFF
        waiting, in_flight = world.depth()
        assert not stopped.is_success
        assert (waiting > 0, in_flight) == (True, 0)
        rows = world.query("SELECT sum(received), sum(loaded), count(*) >= 2 FROM pipeline.account")
        assert rows == [(1_000 - waiting, 1_000 - waiting, True)]
        assert world.query("SELECT count(DISTINCT user_id), count(*) FROM user_logins") == [
            (1_000 - waiting, 1_000 - waiting)
        ]
