"""The whole path, from a full queue to the last acknowledgement, beside the data plane alone."""

import sys
import time
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer

from benchmarks import outside
from benchmarks.data_plane import side_by_side, task_of
from benchmarks.instance import Instance, Location, deployed, wait_until
from benchmarks.launchers import LauncherName
from benchmarks.outside import Services
from benchmarks.report import Figures, Into, Report
from benchmarks.told import JOB, SENSOR
from benchmarks.whole_report import ALONE, PAGE, WHOLE, Round

_PROJECT: Final = Location("pipeline.definitions")
_LEAST_RATE: Final = 100  # messages a second: a path that is slower has come to a stop
_PATIENCE: Final = 180.0  # seconds besides


def whole(
    messages: Annotated[int, typer.Option(help="On the queue, in each round.", min=1)] = 200_000,
    rounds: Annotated[int, typer.Option(help="Rounds; the medians count.", min=1)] = 3,
    answer_ms: Annotated[float, typer.Option(help="Answer time of the queue.", min=0)] = 0.0,
    launcher: LauncherName = "default",
    into: Into = None,
) -> None:
    """Drain a full queue through Dagster's own processes, and without them."""
    figures: list[Figures] = []
    with (
        outside.running() as services,
        deployed("whole", services, [_PROJECT], launcher=launcher) as instance,
    ):
        with instance.watching():
            instance.settle(SENSOR)
        for _ in range(rounds):  # in turn, so that what else the machine does hits both
            for measure in (_through_dagster, _alone):
                measured = measure(services, instance, messages, answer_ms / 1000)
                figures.append(asdict(measured))
                print(measured.line(), file=sys.stderr, flush=True)
        postgres = services.postgres_version()
    settings: dict[str, Any] = {"messages": messages, "rounds": rounds, "answer ms": answer_ms}
    settings |= {"launcher": launcher}
    report = Report.of_now("whole", settings, figures, postgres=postgres)
    print(report.markdown(PAGE))
    if into is not None:
        report.write(PAGE, into)


def _through_dagster(
    services: Services, instance: Instance, messages: int, answer_seconds: float
) -> Round:
    looks = 0

    def is_empty() -> bool:
        nonlocal looks
        looks += 1
        return services.logins.depth().total == 0

    asked_after = time.time()
    history = instance.history
    with services.filled(messages, answer_seconds) as made, instance.watching():
        wait_until(lambda: history.first_tick(SENSOR, asked_after) is not None, "a first tick")
        began, busy = history.first_tick(SENSOR, asked_after), instance.cpu_seconds()
        with instance.watch_runs() as watch:
            seconds = _PATIENCE + messages / _LEAST_RATE
            ended = wait_until(is_empty, "an empty queue", seconds=seconds)
            counts = made()
            wait_until(history.is_idle, "no run is left")
        busy = instance.cpu_seconds() - busy
        runs = history.runs(JOB, asked_after)
    if not all(run.succeeded for run in runs):
        raise SystemExit("a run failed: the figure would be wrong")
    return Round(
        way=WHOLE,
        messages=messages,
        seconds=ended - (began or 0.0),
        cpu_seconds=busy,
        queue_seconds=counts.cpu_seconds,
        runs=len(runs),
        calls=counts.all_calls - looks,
        peak_mib=watch.most,
    )


def _alone(services: Services, _instance: Instance, messages: int, answer_seconds: float) -> Round:
    with services.filled(messages, answer_seconds) as made:
        took = side_by_side([task_of(services, messages)])
        counts = made()
    return Round(
        way=ALONE,
        messages=messages,
        seconds=took.seconds,
        cpu_seconds=took.cpu_seconds,
        queue_seconds=counts.cpu_seconds,
        runs=0,
        calls=counts.all_calls,
        peak_mib=took.peak_mib,
    )
