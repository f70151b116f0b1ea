"""What follows a rehearsal: time passes, and runs work off what the dead ones had held."""

from collections.abc import Iterator

import dagster as dg

from crashes.runs import Runs
from crashes.world import World


def recover(world: World, runs: Runs) -> Iterator[str]:
    """Works off what is left, until nothing can be received any more; what is wrong with that."""
    yield from world.all_visible()
    while world.visible():
        if runs.run().run is not dg.DagsterRunStatus.SUCCESS:
            yield "the recovery did not succeed"
            return
        yield from world.all_visible()
