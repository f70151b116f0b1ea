"""A command of Dagster's for one look of its daemon at the sensors, which may end it on the way."""

import logging
import signal

import click
import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._daemon.sensor import execute_sensor_iteration

from crashes.deployed import crash_feed


@click.command(name="tick")
@click.option("--port", type=int, help="Where the code server listens.")
@click.option("--dies-at", default="", help="A moment of the daemon, as Dagster names it.")
def tick(port: int, dies_at: str) -> None:
    """Looks at every sensor once."""
    flags = {f"{crash_feed().name}_sensor": {dies_at: signal.SIGKILL}} if dies_at else None
    target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name="crashes")
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target) as context,
    ):
        # One thread: the signal is to find the daemon where it stands.
        for _ in execute_sensor_iteration(
            context, logging.getLogger("tick"), None, None, debug_crash_flags=flags
        ):
            pass
