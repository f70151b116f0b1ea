"""A Postgres that says nothing holds neither requests nor places for long."""

import asyncio
import contextlib
import threading

import psycopg
import pytest

from pipeline.errors import Overloaded, PipelineError, WarehouseUnavailable
from pipeline.produce.rest.connections import Connections
from pipeline.produce.rest.idempotency import Begun, Claim
from pipeline.produce.rest.idempotency_table import TableStore
from pipeline_tests.outside_world import silent_port
from pipeline_tests.samples import eventually


def test_many_requests_do_not_wait_in_turn_for_a_server_that_says_nothing() -> None:
    async def rush(store: TableStore) -> list[Begun | BaseException]:
        claims = [Claim.of("acme", "user_logins", f"key-{n:016}", b"{}") for n in range(50)]
        async with asyncio.timeout(9):  # in turn, four at a time, they would take 26 seconds
            return await asyncio.gather(*map(store.begin, claims), return_exceptions=True)

    with silent_port() as port:
        url = f"postgresql://somebody@127.0.0.1:{port}/db?connect_timeout=2"
        with contextlib.closing(TableStore(url)) as store:
            assert {type(each) for each in asyncio.run(rush(store))} == {WarehouseUnavailable}


def test_work_that_does_not_end_is_left_alone_and_gives_its_place_back_at_its_end(
    warehouse_url: str,
) -> None:
    thawed = threading.Event()
    begun: list[str] = []

    async def ask(connections: Connections, name: str) -> str:
        def work(_connection: psycopg.Connection) -> str:
            begun.append(name)
            thawed.wait(10)
            return name

        return await connections.ask(work)

    async def rush(connections: Connections) -> list[str | BaseException]:
        asked = (ask(connections, name) for name in ("first", "second", "third", "fourth"))
        return await asyncio.gather(*asked, return_exceptions=True)

    def is_back() -> bool:
        with contextlib.suppress(PipelineError):
            return asyncio.run(ask(connections, "again")) == "again"
        return False

    with contextlib.closing(Connections(warehouse_url, 1, 2, most_seconds=0.5)) as connections:
        refusals = [type(each) for each in asyncio.run(rush(connections))]
        assert refusals == [WarehouseUnavailable] * 3 + [Overloaded]
        with pytest.raises(Overloaded):  # nobody waits, and yet the places are taken
            asyncio.run(ask(connections, "fifth"))
        thawed.set()
        eventually(is_back)
        assert set(begun) == {"first", "again"}  # nobody waited for the others any more
