"""Dagster's own processes are killed: its daemon at each moment, and all of them at once."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

import dagster as dg

from crashes.deployed import BATCH
from crashes.runs import Running, Runs
from crashes.world import World
from pipeline_tests.samples import eventually
from pipeline_tests.world import free_port

MOMENTS: Final = ("TICK_CREATED", "TICK_HELD", "RUN_IDS_RESERVED", "RUN_CREATED", "RUN_LAUNCHED")
"""Of a look of the daemon at a sensor, as Dagster names them for its own tests."""

Kill = Callable[[int, int], None]
"""As `os.kill` or `os.killpg`."""

_INTERVAL: Final = 6.0  # seconds; a sensor is looked at every five
_AT_MOST: Final = 2  # runs for one batch: one more than there should be
_BATCHES: Final = 3
_KILLED: Final = signal.SIGKILL.value
_PATIENCE: Final = 240.0  # seconds, for processes that start cold


def die_at(world: World, runs: Runs, moment: str) -> Iterator[str]:
    """Fault 61: the daemon dies in a tick, and another one goes on; what is wrong.

    Args:
        world: Where nothing waits.
        runs: Start the processes.
        moment: When it dies.
    """
    world.fill(BATCH)
    with _code_server(runs) as port:
        if runs.end(runs.command("tick", "--port", str(port), "--dies-at", moment)) != _KILLED:
            yield "it did not come to its moment"
            return
        for _ in range(2):  # the first finishes what was begun, the second is one as any other
            threading.Event().wait(_INTERVAL)
            if runs.end(runs.command("tick", "--port", str(port))):
                yield "the next daemon failed"
    requested = runs.known()
    if not 1 <= len(requested) <= _AT_MOST:
        yield f"{len(requested)} runs were requested for one batch"
    for run in requested:
        ended = runs.wait(runs.launch(run))
        if ended.run is not dg.DagsterRunStatus.SUCCESS:
            yield f"a run ended as {ended.run.value}"
    yield from world.unsettled()


@contextmanager
def _code_server(runs: Runs) -> Iterator[int]:
    port = free_port()
    server = runs.command("api", "grpc", "--port", str(port), "-m", "crashes.deployed")
    try:
        eventually(lambda: "Started Dagster code server" in _said(server), patience=_PATIENCE)
        yield port
    finally:
        os.kill(server.pid, signal.SIGKILL)
        runs.end(server)


def _said(running: Running) -> str:
    return running.said.read_text(errors="replace") if running.said.exists() else ""


def die_together(world: World, runs: Runs, kill: Kill) -> Iterator[str]:
    """Faults 60, 61 and 64: daemon, code server and web server die during a run; what is wrong.

    Args:
        world: Where nothing waits.
        runs: Name the instance.
        kill: Sends a signal to a process: to it alone, or to all that it has started too. Then
            the run's worker is dead, and Dagster does not learn of it.
    """
    world.fill(_BATCHES * BATCH)
    port, web = free_port(), free_port()
    with ExitStack() as processes:
        first = [
            processes.enter_context(_process(runs, program, *arguments))
            for program, *arguments in _programs(port, web)
        ]
        eventually(lambda: world.visible() < _BATCHES * BATCH, patience=_PATIENCE)
        for process in first:
            kill(process.pid, signal.SIGKILL)
        yield from world.lacks()
        yield from world.all_visible()
        for program, *arguments in _programs(port, web)[:2]:
            processes.enter_context(_process(runs, program, *arguments))
        yield from _is_drained(world)
    yield from world.unsettled()


def deploy_badly(world: World, runs: Runs) -> Iterator[str]:
    """Fault 64: a code server that cannot import what is deployed, then a sound one; what is wrong.

    Args:
        world: Where nothing waits.
        runs: Name the instance.
    """
    world.fill(BATCH)
    port = free_port()
    (_, *server), (_, *daemon), _ = _programs(port, port)
    with ExitStack() as processes:
        processes.enter_context(_process(runs, "dagster._daemon", *daemon))
        bad = processes.enter_context(_process(runs, "dagster", *server[:-1], "crashes.nowhere"))
        if not bad.wait(_PATIENCE):
            yield "it was deployed all the same"
        if world.most_received():
            yield "a message was received without a code server"
        processes.enter_context(_process(runs, "dagster", *server))
        yield from _is_drained(world)
    yield from world.unsettled()


def _is_drained(world: World) -> Iterator[str]:
    try:
        eventually(lambda: not world.waiting(), patience=_PATIENCE)
    except AssertionError:
        yield "what was left was not taken within minutes"


def _programs(port: int, web: int) -> list[list[str]]:
    there = ["--grpc-port", str(port), "--grpc-host", "127.0.0.1"]
    return [
        ["dagster", "api", "grpc", "--port", str(port), "-m", "crashes.deployed"],
        ["dagster._daemon", "run", *there],
        ["dagster_webserver", "--port", str(web), *there],
    ]


@contextmanager
def _process(runs: Runs, program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of Dagster's; what it starts ends with it, if not before."""
    process = subprocess.Popen(  # noqa: S603 - this Python, and programs named above
        [sys.executable, "-m", program, *arguments],
        env=dict(runs.environment),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
