"""A message that ends every process that reads it, until SQS gives it up."""

import signal
from collections.abc import Iterator

from crashes.deployed import BATCH, DELIVERIES
from crashes.recovery import recover
from crashes.runs import Runs
from crashes.world import World


def poison(world: World, runs: Runs) -> Iterator[str]:
    """Fault 15: a message kills each worker that reads it; what is wrong.

    Args:
        world: Where nothing waits.
        runs: Start the workers.
    """
    event_id = world.send_poison()
    for delivery in range(1, DELIVERIES + 1):
        world.fill(BATCH)  # as on any queue: what is new is settled first, and tells of the table
        if (status := runs.run().status) != signal.SIGKILL:
            yield f"after delivery {delivery} the worker ended with {status}"
            return
        yield from world.lacks()
        yield from world.all_visible()
    yield from recover(world, runs)
    if world.take_dead_letters() != [event_id]:
        yield "the dead-letter queue holds another than the one that kills"
    yield from world.unsettled()
