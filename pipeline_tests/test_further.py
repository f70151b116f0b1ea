"""A run settles batch after batch, each a whole of its own, until nothing waits or it is enough."""

import itertools
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import dagster as dg
import pytest

from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.consume.stages import Ports
from pipeline.contract import Feed
from pipeline.enrichment import Record
from pipeline.resources.outside import Outside
from pipeline_tests.checks_case import job
from pipeline_tests.delivery_case import Delivery
from pipeline_tests.enrich_case import orders, scores, send_orders
from pipeline_tests.further_case import StillClock, Watched, run, threads
from pipeline_tests.samples import eventually, login, small
from pipeline_tests.world import World

BATCH: Final = 20
FEED: Final = small(batch_messages=BATCH)


@pytest.fixture(autouse=True)
def _no_thread_goes_on() -> Iterator[None]:
    yield
    assert threads() == []


def accounts(way: Delivery) -> list[int]:
    """What each batch received, in the order in which they began to commit."""
    rows = way.rows("SELECT received FROM pipeline.account ORDER BY committed_at, received DESC")
    return [received for (received,) in rows]


class TestSettling:
    """What is on the queue when a run begins, and no more than it may take."""

    def test_batch_after_batch_until_nothing_waits(self, way: Delivery) -> None:
        way.send(95)

        settled = list(run(FEED, way.ports))

        total = sum(settled[1:], settled[0])
        assert sorted(accounts(way)) == [15, 20, 20, 20, 20]
        assert (total.batches, total.account.received, total.account.loaded) == (5, 95, 95)
        assert (total.kept, len(total.ages), total.account.adds_up) == (0, 95, True)
        assert way.rows("SELECT DISTINCT run_id FROM pipeline.account") == [("run-1",)]
        way.assert_settled(95)

    def test_it_shows_the_sums_of_all_batches(self, world: World) -> None:
        """The real job; of the rows that it shows, the last batch has some."""
        world.send([json.dumps(login(user_id=f"user-{place}")) for place in range(90)])
        world.send(["broken"] * 5)

        with dg.DagsterInstance.ephemeral() as instance:
            result = job(FEED).execute_in_process(instance=instance)

        (materialization,) = result.asset_materializations_for_node("user_logins")
        told = {name: each.value for name, each in materialization.metadata.items()}
        assert (told["received"], told["rows"], told["batches"]) == (95, 90, 5)
        assert (told["quarantined"], told["quarantined/not_json"], told["released"]) == (5, 5, 0)
        stages = ("receive", "decode", "mask", "load", "acknowledge")
        assert all(told[f"seconds/{stage}"] > 0 for stage in stages)  # type: ignore[operator] # numbers
        assert len(told["preview"].records) == 5  # type: ignore[union-attr] # a table
        rows = world.query("SELECT sum(received), sum(loaded), count(*) FROM pipeline.account")
        assert rows == [(95, 90, 5)]
        assert world.query("SELECT DISTINCT run_id FROM pipeline.account") == [(result.run_id,)]
        assert world.depth() == (0, 0)

    def test_what_a_run_may_not_take_is_left_as_it_was(self, way: Delivery) -> None:
        """Fault 27."""
        way.send(95)

        settled = list(run(small(batch_messages=BATCH, run_messages=50), way.ports))

        assert [each.account.received for each in settled].count(20) == 2
        assert sum(accounts(way)) == 50
        assert (way.depth().visible, way.depth().in_flight) == (45, 0)
        rest = way.extract(small(batch_messages=100))
        assert [each.message.receive_count for each in rest.batch.entries] == [1] * 45
        rest.held.close()

    @pytest.mark.parametrize(("event", "batches"), [("begin 1", 1), ("check 2", 2), ("check 4", 4)])
    def test_none_begins_once_its_time_is_over(
        self, way: Delivery, event: str, batches: int
    ) -> None:
        """Counted from the beginning of the first one; what has begun goes on to its end."""
        clock = StillClock()
        watched = Watched(replace(way.ports, clock=clock))
        watched.before[event] = lambda: clock.put_forward(FEED.limits.run_seconds)
        way.send(200)

        settled = list(run(FEED, watched.ports))

        assert [each.account.loaded for each in settled] == [20] * batches
        assert f"check {batches + 1}" not in watched.events


class TestTheEnd:
    """Who has found the queue empty asks no more."""

    def test_a_queue_that_the_first_batch_found_empty_is_not_asked_again(
        self, way: Delivery
    ) -> None:
        watched = Watched(way.ports)
        way.send(5)

        assert len(list(run(FEED, watched.ports))) == 1

        assert "check 2" not in watched.events

    def test_one_that_a_further_batch_found_empty_ends_the_run(self, way: Delivery) -> None:
        watched = Watched(way.ports)
        way.send(30)

        assert [each.account.received for each in run(FEED, watched.ports)] == [20, 10]

        assert "check 3" not in watched.events

    def test_a_batch_of_nothing_leaves_no_account(self, way: Delivery) -> None:
        watched = Watched(way.ports)
        way.send(20)

        assert len(list(run(FEED, watched.ports))) == 1

        assert watched.has("check 2", "received 2")
        assert not watched.has("begin 2")
        assert accounts(way) == [20]


class TestSideBySide:
    """One batch is received while the other one is settled."""

    def test_the_next_one_is_received_while_one_is_loaded(self, way: Delivery) -> None:
        watched = Watched(way.ports)
        watched.before["begin 2"] = lambda: eventually(lambda: watched.has("received 3"))
        way.send(100)

        assert len(list(run(FEED, watched.ports))) == 5

        assert watched.events.index("received 3") < watched.events.index("commit 2")

    def test_one_batch_receives_at_a_time(self, way: Delivery) -> None:
        watched = Watched(way.ports)
        way.send(200)

        assert len(list(run(FEED, watched.ports))) == 10

        told = [event.split() for event in watched.events]
        asked = [int(batch) for what, batch in told if what == "check"]
        receiving = [int(batch) for what, batch in told if what in {"check", "receive", "received"}]
        assert asked == list(range(1, max(asked) + 1))
        assert receiving == sorted(receiving)

    def test_two_are_in_hand_at_most(self, way: Delivery) -> None:
        watched = Watched(way.ports)
        watched.before["begin 2"] = lambda: eventually(lambda: watched.has("begin 3"))
        way.send(200)

        assert len(list(run(FEED, watched.ports))) == 10

        assert watched.in_hand == 2
        assert len(watched.lanes - {threading.current_thread().name}) == 2

    def test_the_warehouse_is_asked_before_each(self, way: Delivery) -> None:
        """Invariant 7: a sick sink burns nothing."""
        watched = Watched(way.ports)
        way.send(100)

        assert len(list(run(FEED, watched.ports))) == 5

        for batch in range(1, 6):
            first = watched.events.index(f"receive {batch}")
            assert f"check {batch}" in watched.events[:first]

    def test_where_each_record_is_enriched_one_comes_after_the_other(self, world: World) -> None:
        """The enrichment says how many calls its service bears at once."""
        threads_of_calls: set[str] = set()

        async def score(record: Record) -> Mapping[str, object]:
            threads_of_calls.add(threading.current_thread().name)
            return {"score": record["id"]}

        send_orders(world, *range(20))
        feed = orders(score, most=5)
        watched = Watched(ports(world, feed))

        assert [each.account.loaded for each in run(feed, watched.ports)] == [5] * 4

        assert scores(world) == [(number, number) for number in range(20)]
        assert watched.in_hand == 1
        for batch, following in itertools.pairwise(range(1, 5)):
            deleted = watched.events.index(f"deleted {batch}")
            assert deleted < watched.events.index(f"check {following}")


class TestCounting:
    """What is odd in a further batch is told of the run."""

    def test_suspects_are_settled_apart(self, way: Delivery) -> None:
        watched = Watched(way.ports)
        place = itertools.count()
        watched.delivered[2] = lambda each: replace(each, receive_count=4 if next(place) < 3 else 1)
        way.send(95)

        settled = list(run(FEED, watched.ports))

        total = sum(settled[1:], settled[0])
        assert (total.account.received, total.account.loaded) == (95, 95)
        assert [each.apart.loaded for each in settled if each.apart.received] == [3]
        assert sorted(accounts(way)) == [3, 15, 17, 20, 20, 20]
        assert total.seconds["isolate"] > 0
        way.assert_settled(95)

    def test_what_sqs_keeps_is_counted(self, way: Delivery) -> None:
        watched = Watched(way.ports)
        watched.kept.add(3)
        way.send(95)

        settled = list(run(FEED, watched.ports))

        assert sum(settled[1:], settled[0]).kept == 20
        assert sorted(each.kept for each in settled) == [0, 0, 0, 0, 20]
        assert (way.depth().visible, way.depth().in_flight) == (0, 20)


def ports(world: World, feed: Feed) -> Ports:
    """What a run of a feed works with in a world."""
    outside = Outside.of(world.environment)
    warehouse = PostgresWarehouse(feed, outside.postgres_url, outside.keyring)
    queue = outside.queue_for_a_run(feed)
    return Ports(warehouse, lambda: queue)
