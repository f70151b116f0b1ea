"""The least that Dagster can be asked for: a job of one op that does nothing, and its sensor.

It stands in a code location of its own, whose runs import Dagster and nothing else. It is asked
for by a file that holds the moment, in seconds since the epoch.
"""

import os
from pathlib import Path

import dagster as dg

from benchmarks.told import ASKED_AT, REQUEST, TRIVIAL_JOB, TRIVIAL_SENSOR


@dg.op
def nothing() -> None:
    """Does nothing."""


@dg.job(name=TRIVIAL_JOB, executor_def=dg.in_process_executor)
def trivial() -> None:
    """One op."""
    nothing()


@dg.sensor(
    name=TRIVIAL_SENSOR,
    job=trivial,
    minimum_interval_seconds=5,  # as those of feeds
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def look() -> dg.RunRequest | dg.SkipReason:
    """Asks for a run where somebody has asked for one."""
    request = Path(os.environ[REQUEST])
    if not request.exists():
        return dg.SkipReason("nobody has asked")
    asked_at = request.read_text()
    request.unlink()
    return dg.RunRequest(tags={ASKED_AT: asked_at})


defs = dg.Definitions(jobs=[trivial], sensors=[look])
