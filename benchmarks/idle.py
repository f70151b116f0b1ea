"""What the sensors cost while the queues are empty: an instance beside one without sensors."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from benchmarks import outside
from benchmarks.idle_report import EMPTY_ONES, PAGE, WITH, WITHOUT, Quiet
from benchmarks.instance import Instance, Location, deployed
from benchmarks.outside import Services
from benchmarks.quantiles import mean_gap
from benchmarks.report import Into, Report
from benchmarks.told import EMPTY, NONE, SENSOR, SENSORS
from pipeline import feeds

_MODULE: Final = "benchmarks.deployed"
_LOCATIONS: Final[Mapping[str, Location]] = {
    WITH: Location(_MODULE),
    EMPTY_ONES: Location(_MODULE, {SENSORS: EMPTY}),
    WITHOUT: Location(_MODULE, {SENSORS: NONE}),
}

_SETTLE_SECONDS: Final = 30.0
"""After the start, until every sensor has found its queue."""


def idle(
    minutes: Annotated[float, typer.Option(help="For which all are watched.", min=0.5)] = 5.0,
    into: Into = None,
) -> None:
    """Watch instances that have nothing to do: with our sensors, with empty ones, with none."""
    with contextlib.ExitStack() as stack:
        services = stack.enter_context(outside.running())
        instances = {}
        for place, (what, location) in enumerate(_LOCATIONS.items()):
            made = deployed(f"idle_{place}", services, [location])
            instances[what] = stack.enter_context(made)
            stack.enter_context(instances[what].watching())
        for what in (WITH, EMPTY_ONES):
            instances[what].settle(SENSOR)
        time.sleep(_SETTLE_SECONDS)
        figures = [asdict(each) for each in _watch(services, instances, minutes * 60)]
        postgres = services.postgres_version()
    settings: dict[str, Any] = {"minutes": minutes}
    report = Report.of_now("idle", settings, figures, postgres=postgres)
    print(report.markdown(PAGE))
    if into is not None:
        report.write(PAGE, into)


def _watch(services: Services, instances: Mapping[str, Instance], seconds: float) -> list[Quiet]:
    calls, began = services.queue.counts().all_calls, time.time()
    before = {what: each.parts_cpu_seconds() for what, each in instances.items()}
    time.sleep(seconds)
    after = {what: each.parts_cpu_seconds() for what, each in instances.items()}
    took, calls = time.time() - began, services.queue.counts().all_calls - calls
    ticks = {what: each.history.ticks(began) for what, each in instances.items()}
    return [
        Quiet(
            what=what,
            seconds=took,
            cpu_seconds={part: after[what][part] - before[what][part] for part in after[what]},
            calls=calls if what == WITH else 0,
            feeds=len(feeds.discover()),
            ticks=sum(map(len, ticks[what].values())),
            tick_seconds=mean_gap(ticks[what].get(SENSOR, ())),
        )
        for what in instances
    ]
