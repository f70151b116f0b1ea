"""How long an event takes to become a row, at several rates, and a trivial run beside it."""

import math
import random
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import psycopg
import typer

from benchmarks import outside
from benchmarks.instance import Instance, Location, deployed, wait_until
from benchmarks.latency_report import FLOOR, PAGE, REQUESTED, By, Series
from benchmarks.launchers import LauncherName
from benchmarks.outside import FEED, Services
from benchmarks.report import Into, Report
from benchmarks.told import ASKED_AT, JOB, LINGER, REQUEST, SENSOR, TRIVIAL_JOB, TRIVIAL_SENSOR
from chaos.identity import Mark, identity_of
from pipeline.masking.key_file import KeyFile
from pipeline.messages import Event
from pipeline.produce.generate import Recipe
from pipeline.produce.pace import Steady
from pipeline.produce.traffic import Order, endless, send
from pipeline.produce.ways import Outcome, SqsWay, Way

if TYPE_CHECKING:
    from benchmarks.history import Run

_RECORDS: Final = 1_000  # that events are made from, again and again; their ids are always new
_INTERVAL: Final = 5.0  # seconds between two ticks of a sensor
_DRAIN_SECONDS: Final = 600.0
_COMMITTED: Final = """
SELECT key, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8
FROM pipeline.ledger WHERE feed = %s
"""


def latency(  # noqa: PLR0917 - typer names them all
    rates: Annotated[
        str, typer.Option(help="Messages a second, one after the other.")
    ] = "1,50,500",
    minutes: Annotated[float, typer.Option(help="For each rate.", min=0.05)] = 10.0,
    trivial: Annotated[int, typer.Option(help="Trivial runs before each rate.", min=0)] = 5,
    linger: Annotated[
        float | None, typer.Option(help="Seconds for which few messages wait for others.", min=0)
    ] = None,
    launcher: LauncherName = "default",
    into: Into = None,
) -> None:
    """Send logins at a pace, and see when each becomes a row."""
    paces = read_numbers(rates)
    settings: dict[str, Any] = {"minutes": minutes, "trivial runs": trivial * len(paces)}
    settings["linger s"] = FEED.limits.linger_seconds if linger is None else linger
    settings["launcher"] = launcher
    with outside.running() as services:
        asking = services.place.temporary / "asking"
        locations = [
            Location("benchmarks.deployed", {} if linger is None else {LINGER: str(linger)}),
            Location("benchmarks.trivial", {REQUEST: str(asking)}),
        ]
        with (
            deployed("latency", services, locations, launcher=launcher) as instance,
            instance.watching(),
        ):
            instance.settle(SENSOR)
            instance.settle(TRIVIAL_SENSOR)
            series = _measure(
                services, instance, paces, minutes * 60, _Trivial(instance, asking, trivial)
            )
        postgres = services.postgres_version()
    figures = [asdict(each) for each in series]
    report = Report.of_now("latency", settings, figures, postgres=postgres)
    print(report.markdown(PAGE))
    if into is not None:
        report.write(PAGE, into)


def read_numbers(text: str) -> list[float]:
    """Positive numbers with commas between.

    Raises:
        BadParameter: That is none.
    """
    try:
        numbers = [float(each) for each in text.split(",")]
    except ValueError:
        numbers = [0.0]
    if not all(0 < number < math.inf for number in numbers):
        raise typer.BadParameter("positive numbers, with commas between")
    return numbers


class _Trivial:
    """Trivial runs, one after the other.

    Args:
        instance: Where.
        asking: The file that asks for one.
        count: How many in a row.
    """

    def __init__(self, instance: Instance, asking: Path, count: int) -> None:
        self._history, self._asking, self._count = instance.history, asking, count
        self._chance = random.Random(1)  # noqa: S311 - no key
        self._runs: list[Run] = []
        self._began = time.time()

    def run(self) -> None:
        """A row of them, each asked for at any moment between two ticks."""
        for _ in range(self._count):
            time.sleep(self._chance.uniform(0, _INTERVAL))
            self._run_one()

    def series(self) -> list[Series]:
        """What all of them came to."""
        if not self._runs:
            return []
        by = _by(self._history.ticks(self._began)[TRIVIAL_SENSOR], self._runs)
        since_event = [run.ended - float(run.tags[ASKED_AT]) for run in self._runs]
        since_request = [run.ended - run.asked for run in self._runs]
        return [Series.of(FLOOR, since_event, by), Series.of(REQUESTED, since_request, by)]

    def _run_one(self) -> None:
        asked_at = time.time()
        written = self._asking.with_suffix(".part")  # the sensor must not read half of it
        written.write_text(str(asked_at))
        written.rename(self._asking)
        wait_until(lambda: bool(self._history.runs(TRIVIAL_JOB, asked_at)), "a trivial run ends")
        (run,) = self._history.runs(TRIVIAL_JOB, asked_at)
        if not run.succeeded or run.tags[ASKED_AT] != str(asked_at):
            raise SystemExit("a trivial run failed, or was not the one that was asked for")
        self._runs.append(run)


def _measure(
    services: Services,
    instance: Instance,
    rates: Sequence[float],
    seconds: float,
    trivial: _Trivial,
) -> list[Series]:
    series = []
    for rate in rates:
        trivial.run()
        series.append(_at(services, instance, rate, seconds))
        print(series[-1].line(), file=sys.stderr, flush=True)
    floor = trivial.series()
    for each in floor:
        print(each.line(), file=sys.stderr, flush=True)
    return [*floor, *series]


class _Stamped:
    """A way that remembers when each event left."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self.entries = way.entries
        self.left: dict[str, float] = {}

    def send(self, events: Sequence[Event]) -> Outcome:
        """As `Way`."""
        now = time.time()
        self.left.update((event.event_id, now) for event in events)
        return self._way.send(events)


def _at(services: Services, instance: Instance, rate: float, seconds: float) -> Series:
    """Sends at a rate for a while, and waits until every event is a row.

    Raises:
        SystemExit: An event was not taken, or is no row.
    """
    services.empty()
    began = time.time()
    way = _Stamped(SqsWay(services.logins))
    sending = send(
        way,
        endless(FEED, Recipe(count=_RECORDS)),
        Order(pace=Steady(rate), seconds=seconds),
        stop=threading.Event(),
        tell=lambda _seconds, _tally: None,
    )
    if sending.tally.refused or sending.tally.failed:
        raise SystemExit(f"events were not taken by SQS: {dict(sending.tally.why)}")
    wait_until(lambda: services.logins.depth().total == 0, "an empty queue", seconds=_DRAIN_SECONDS)
    wait_until(instance.history.is_idle, "no run is left")
    latencies = _latencies(services, way.left)
    by = _by(instance.history.ticks(began)[SENSOR], instance.history.runs(JOB, began))
    return Series.of(f"{rate:g} messages/s", latencies, by, sent=sending.reached)


def _by(ticks: Sequence[float], runs: "Sequence[Run]") -> By:
    return By(
        ticks,
        [run.started - run.asked for run in runs],
        [run.ended - run.started for run in runs],
    )


def _latencies(services: Services, left: dict[str, float]) -> list[float]:
    secret = KeyFile(services.place.keyring).load().settlement_key(FEED.name)
    identity = identity_of(FEED, secret)
    with psycopg.connect(services.postgres_url) as connection:
        committed: dict[bytes, float] = dict(
            connection.execute(_COMMITTED, (FEED.name,)).fetchall()
        )
    try:
        return [
            committed[Mark.of(identity, event_id, "").key] - when for event_id, when in left.items()
        ]
    except KeyError:
        raise SystemExit(f"of {len(left)} events {len(committed)} became rows") from None
