"""Messages stay in care while they are enriched; what is released is not lost, nor doubled."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import pytest

from pipeline.contract import Limits
from pipeline.enrichment import Record
from pipeline_tests.enrich_case import (
    ALL_VISIBLE,
    account,
    numbers,
    orders,
    run,
    scores,
    send_orders,
)
from pipeline_tests.samples import eventually
from pipeline_tests.world import World


def test_messages_stay_hidden_for_as_long_as_their_enrichment_takes(world: World) -> None:
    """Fault 5: the heartbeat extends them while the calls go on."""

    def extended_twice() -> bool:
        return world.app.calls["ChangeMessageVisibilityBatch"] >= 2

    async def until_extended(record: Record) -> Mapping[str, object]:
        await asyncio.to_thread(eventually, extended_twice)
        return {"score": record["id"]}

    send_orders(world, 1, 2)
    feed = orders(until_extended, most=2)
    limits = Limits(batch_messages=2, receivers=2, receive_seconds=20, visibility_seconds=1)
    assert account(run(replace(feed, limits=limits))) == (2, 2, 0, 0, 0)


def test_a_batch_is_enriched_within_the_time_for_which_it_is_held(world: World) -> None:
    """Fault 5: one call after the other would take longer; what is not done is given back."""

    async def hang(record: Record) -> Mapping[str, object]:
        if record["id"] != 0:
            await asyncio.Event().wait()
        return {"score": record["id"]}

    send_orders(world, *range(9))
    feed = orders(hang, most=9, concurrency=1, timeout_seconds=0.9, deliveries=1)
    limits = replace(feed.limits, hold_seconds=3, visibility_seconds=1, receive_seconds=1.0)
    result = run(replace(feed, limits=limits))
    assert account(result) == (9, 1, 0, 0, 8)
    assert numbers(result)["seconds/enrich"] < 8 * 0.9 / 2


@pytest.mark.parametrize("operation", ["DeleteMessageBatch", "ChangeMessageVisibilityBatch"])
def test_what_was_released_is_neither_lost_nor_doubled_where_sqs_refuses(
    world: World, operation: str
) -> None:
    """Faults 8 and 10: the acknowledgement fails, or the release does; the rows are committed."""

    async def odd_ones(record: Record) -> Mapping[str, object]:
        assert record["id"] in {1, 3}
        return {"score": record["id"]}

    send_orders(world, 1, 2, 3, 4)
    with world.app.gate(operation, 1) as gate:
        world.app.let_fail(gate)
        assert account(run(orders(odd_ones, most=4))) == (4, 2, 0, 0, 2)
    acknowledged = 0 if operation == "DeleteMessageBatch" else 2
    assert world.depth() == (0, 4 - acknowledged)
    world.clock.now += ALL_VISIBLE
    again = account(run(orders(most=4 - acknowledged)))
    assert again == (4 - acknowledged, 2, 2 - acknowledged, 0, 0)
    assert scores(world) == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert world.depth() == (0, 0)


def test_what_came_twice_within_a_batch_is_released_with_both_receipts(world: World) -> None:
    """Faults 1 and 5: the newer receipt is the one that deletes, and nothing was settled by it."""

    async def odd_ones(record: Record) -> Mapping[str, object]:
        if record["id"] == 2:
            raise TimeoutError
        return {"score": record["id"]}

    def show_again() -> None:
        world.clock.now += ALL_VISIBLE

    send_orders(world, 1, 2)
    world.app.hooks["ReceiveMessage", 2] = show_again
    feed = orders(odd_ones, most=10)
    assert account(run(replace(feed, limits=replace(feed.limits, receivers=1)))) == (4, 1, 1, 0, 2)
    assert world.depth() == (0, 1)
    world.clock.now += ALL_VISIBLE
    assert account(run(orders(most=1))) == (1, 1, 0, 0, 0)
    assert scores(world) == [(1, 1), (2, 2)]
    assert world.depth() == (0, 0)
