"""A fetch that is killed, at chosen moments and at random ones: nothing is lost or doubled."""

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from typing import Final

import dagster as dg
import pytest

from pipeline import feeds
from pipeline.definitions import defs
from pipeline.operate.drain import ingest_once
from pipeline.produce.dispatch import ENTRIES
from pipeline_tests.crash_case import START
from pipeline_tests.fetch_case import FEED, QUICK, path, paths, record_of, take_events
from pipeline_tests.fetch_process import fetch_all, fetching
from pipeline_tests.upstream import LIST, Request, Server, Upstream
from pipeline_tests.world import World

RECORDS: Final = range(1, 31)

AT_A_REQUEST: Final = {
    "while it counts": f"{LIST}?limit=10&offset=0",
    "while it lists": f"{LIST}?limit=10&offset=10",
    "at its first record": path(1),
    "in the middle of the records": path(20),
    "at its last record": path(9),
}
AT_THE_QUEUE: Final = {
    # name: how many calls before, whether the queue still performs it
    "before anything is sent": (1, False),
    "with an answer that it never saw": (1, True),
    "in the middle of sending": (2, False),
    "with a last answer that it never saw": (3, True),
}


@pytest.fixture
def fetched(world: World, api_server: Server) -> Iterator[World]:
    """A world with the records' queue, to which the settings of a fetch lead."""
    world.sqs.create_queue(QueueName=FEED.queue)
    environment = {
        **world.environment,
        "PIPELINE_SOURCE_POKEAPI_URL": api_server.url,
        "PIPELINE_FETCH_PRIVATE": "127.0.0.0/8",
    }
    yield World(world.sqs, world.queue_url, world.postgres_url, environment, world.app, world.clock)
    api_server.api = Upstream()


@pytest.mark.parametrize("moment", AT_A_REQUEST)
def test_killed_at_a_request_it_loses_and_doubles_nothing(
    fetched: World, api_server: Server, moment: str
) -> None:
    """Fault 78."""
    api_server.api = api = Upstream(RECORDS)
    with fetching(fetched.environment) as process:
        died = kill_at(api, process, lambda request: request.path == AT_A_REQUEST[moment])
        assert died.wait(START)
    fetch_all(fetched.environment)
    assert_sent(fetched, api, deaths=1)


@pytest.mark.parametrize("moment", AT_THE_QUEUE)
def test_killed_at_the_queue_it_loses_and_doubles_nothing(
    fetched: World, api_server: Server, moment: str
) -> None:
    """Fault 78: what SQS has taken and nobody noted is sent again, as the same event."""
    api_server.api = api = Upstream(RECORDS)
    nth, performed = AT_THE_QUEUE[moment]
    with (
        fetched.app.gate("SendMessageBatch", nth, performed=performed) as gate,
        fetching(fetched.environment) as process,
    ):
        assert gate.reached.wait(START)
        process.kill()
    fetch_all(fetched.environment)
    assert_sent(fetched, api, deaths=1)


def test_killed_ten_times_at_random_every_record_is_in_the_table_once(
    fetched: World, api_server: Server
) -> None:
    """Fault 78, from the list to the table."""
    api_server.api = api = Upstream(range(1, 301))
    rng = random.Random(78)  # noqa: S311 - the same moments in every run
    for _ in range(10):
        with fetching(fetched.environment) as process:
            if rng.random() < 0.7:
                died = kill_at(api, process, after(rng.randrange(5, 60)))
            else:
                died = kill_at_a_call(fetched, process, rng.randrange(1, 6))
            assert died.wait(START)
        api.hooks.clear()
    fetch_all(fetched.environment)
    assert_asked(api, deaths=10)
    with dg.DagsterInstance.ephemeral() as instance:
        numbers = ingest_once(defs(), feeds.find(FEED.name), instance).numbers
    assert numbers["rows"] == 300
    assert numbers["quarantined"] == 0
    rows = fetched.query("SELECT id, count(*) FROM pokemon GROUP BY id ORDER BY id")
    assert rows == [(number, 1) for number in api.records]
    before = len(api.asked())
    fetch_all(fetched.environment)
    assert len(api.asked()) == before  # the second run


def after(requests: int) -> Callable[[Request], bool]:
    """The moment after so many requests."""
    left = itertools.count(-requests)
    return lambda _request: next(left) >= 0


def kill_at(
    api: Upstream, process: BaseProcess, moment: Callable[[Request], bool]
) -> threading.Event:
    """Kills a process at a request; the event tells that it did."""
    died = threading.Event()

    def hook(request: Request) -> None:
        if not died.is_set() and moment(request):
            process.kill()
            died.set()

    api.hooks.append(hook)
    return died


def kill_at_a_call(world: World, process: BaseProcess, nth: int) -> threading.Event:
    """Kills a process right before the queue takes a portion."""
    died = threading.Event()

    def hook() -> None:
        process.kill()
        died.set()

    operation = "SendMessageBatch"
    world.app.hooks[operation, world.app.calls[operation] + nth] = hook
    return died


def assert_sent(world: World, api: Upstream, *, deaths: int) -> None:
    """Each record is on the queue as one event, and was asked for as often as it had to be."""
    events = {event_id for event_id, _ in take_events(world.sqs)}
    assert Counter(map(record_of, events)) == paths(list(api.records))
    states = world.query("SELECT state, count(*) FROM pipeline.fetch GROUP BY state")
    assert states == [("sent", len(api.records))]
    assert_asked(api, deaths=deaths)


def assert_asked(api: Upstream, *, deaths: int) -> None:
    """What was under way when a process died was asked for again, and nothing else."""
    under_way = ENTRIES + QUICK.concurrency
    assert len(api.asked()) <= len(api.records) + deaths * under_way
