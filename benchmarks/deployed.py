"""What the benchmarks deploy to Dagster: the project, with the sensors that the environment names.

How it is told, `benchmarks.told` says.
"""

import os
from dataclasses import replace

import dagster as dg

from benchmarks.told import EMPTY, FEED, JOB, LINGER, NONE, SENSORS
from pipeline import definitions, feeds
from pipeline.consume.sensor import depth_sensor


@dg.definitions
def defs() -> dg.Definitions:
    """As `pipeline.definitions`, but for its sensors."""
    whole = definitions.defs()  # two of them in one module would be one too many for Dagster
    sensors = [*(whole.sensors or ())]
    if linger := os.environ.get(LINGER):
        ours = _hasty(float(linger))
        sensors = [ours if each.name == ours.name else each for each in sensors]
    asked = os.environ.get(SENSORS)
    if asked in {NONE, EMPTY}:
        sensors = [_empty(each) for each in sensors if asked == EMPTY]
    return dg.Definitions(
        assets=whole.assets,
        asset_checks=whole.asset_checks,
        jobs=whole.jobs,
        schedules=whole.schedules,
        sensors=sensors,
        resources=whole.resources,
        executor=whole.executor,
    )


def _hasty(linger_seconds: float) -> dg.SensorDefinition:
    """The feed's sensor, which has few messages wait for so long."""
    feed = feeds.find(FEED)
    limits = replace(feed.limits, linger_seconds=linger_seconds)
    return depth_sensor(replace(feed, limits=limits), job_name=JOB)


def _empty(model: dg.SensorDefinition) -> dg.SensorDefinition:
    """A sensor that does nothing as often as another one does something."""

    @dg.sensor(
        name=model.name,
        job_name=JOB,
        minimum_interval_seconds=model.minimum_interval_seconds,
        default_status=model.default_status,
    )
    def look() -> dg.SkipReason:
        return dg.SkipReason("nothing is looked at")

    return look
