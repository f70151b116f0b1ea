"""A run that ends in the middle of its enrichment loses nothing and doubles nothing."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_tests.crash_case import START
from pipeline_tests.enrich_case import (
    ALL_VISIBLE,
    BACK_OFF,
    account,
    orders,
    run,
    scores,
    send_orders,
)
from pipeline_tests.world import World

COUNT = 12


@contextmanager
def enriching(world: World) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of its enrichment, gone when the block ends."""
    send_orders(world, *range(COUNT))
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline_tests.enriching_process", str(COUNT)],
        env=dict(world.environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"enriching\n"
            yield process
        finally:
            process.kill()


def test_killed_while_it_enriches_it_loses_and_doubles_nothing(world: World) -> None:
    """Fault 57: some have their result, none is committed, none is acknowledged."""
    with enriching(world) as process:
        process.kill()
        process.wait()
    assert world.depth() == (0, COUNT)
    assert world.app.calls["DeleteMessageBatch"] == 0
    assert world.query("SELECT count(*) FROM pipeline.account") == [(0,)]
    world.clock.now += ALL_VISIBLE
    assert account(run(orders(most=COUNT))) == (COUNT, COUNT, 0, 0, 0)
    assert scores(world) == [(number, number) for number in range(COUNT)]
    assert world.depth() == (0, 0)


def test_asked_to_end_it_gives_everything_back(world: World) -> None:
    """Fault 57: the messages come back after the back-off, not after the visibility timeout."""
    with enriching(world) as process:
        process.terminate()
        process.wait(START)
    assert world.query("SELECT count(*) FROM orders") == [(0,)]
    world.clock.now += BACK_OFF
    assert world.depth() == (COUNT, 0)
    assert account(run(orders(most=COUNT))) == (COUNT, COUNT, 0, 0, 0)
    assert scores(world) == [(number, number) for number in range(COUNT)]
