"""The page of `latency`: how long events take to become rows, and a trivial run beside them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from benchmarks.plots import COLOURS, GREY, Draw, plain_numbers
from benchmarks.quantiles import SHARES, mean_gap, quantile
from benchmarks.report import Figures, Page, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOOR: Final = "trivial run, from the event"
"""What events are held against."""

REQUESTED: Final = "trivial run, from the request"

ALLOWED: Final = 1.0
"""Seconds by which the median of events may exceed that of the floor."""

_HEAD: Final = (
    "", "sent/s", "measured", "p50 s", "p95 s", "p99 s", "most s", "p50 beyond the floor s", "runs",
    "tick to tick s", "request to start s", "start to end s",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class By:
    """What latencies came about by.

    Attributes:
        ticks: The moments of the sensor's ticks meanwhile, in order.
        to_start: Of each run, the seconds from the request to the start.
        to_end: Of each run, the seconds from the start to the end.
    """

    ticks: Sequence[float]
    to_start: Sequence[float]
    to_end: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The latencies of one kind, in seconds.

    Attributes:
        what: Of which kind.
        sent: Events a second that left, which may be fewer than were asked for; None for trivial
            runs.
        count: How many were measured.
        p50: What half of them did not exceed; the others likewise.
        p95: See there.
        p99: See there.
        curve: The same for each hundredth, from 0 to 100.
        runs: Of Dagster, while they were measured.
        between_ticks: Seconds from one tick of the sensor to the next, on average.
        to_start: Of the runs, from the request to the start; the median.
        to_end: Of the runs, from the start to the end; the median.
    """

    what: str
    sent: float | None
    count: int
    p50: float
    p95: float
    p99: float
    curve: list[float]
    runs: int
    between_ticks: float
    to_start: float
    to_end: float

    @classmethod
    def of(
        cls, what: str, latencies: Sequence[float], by: By, *, sent: float | None = None
    ) -> Self:
        """What some latencies come to; at least one, by at least one run."""
        ordered = sorted(latencies)
        return cls(
            what=what,
            sent=None if sent is None else round(sent, 2),
            count=len(ordered),
            p50=_rounded(quantile(ordered, 0.5)),
            p95=_rounded(quantile(ordered, 0.95)),
            p99=_rounded(quantile(ordered, 0.99)),
            curve=[_rounded(quantile(ordered, share)) for share in SHARES],
            runs=len(by.to_start),
            between_ticks=_rounded(mean_gap(by.ticks)),
            to_start=_rounded(statistics.median(by.to_start)),
            to_end=_rounded(statistics.median(by.to_end)),
        )

    def line(self) -> str:
        """For whoever watches."""
        return (
            f"{self.what:<30} p50 {self.p50:7.2f} s   p95 {self.p95:7.2f} s   p99 {self.p99:7.2f} s"
        )


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def _floor(figures: Sequence[Figures]) -> float | None:
    return next((each["p50"] for each in figures if each["what"] == FLOOR), None)


def _table(figures: Sequence[Figures]) -> str:
    floor = _floor(figures)
    made = table(_HEAD, [_row(each, floor) for each in figures])
    if floor is None:
        return made
    late = [each for each in figures if each["sent"] and each["p50"] - floor > ALLOWED]
    verdict = "none of the rates" if not late else ", ".join(each["what"] for each in late)
    return (
        f"{made}\n\nThe median of events may exceed that of a trivial run from its event by"
        f" {ALLOWED:g} s. It does so at: {verdict}."
    )


def _row(each: Figures, floor: float | None) -> list[str]:
    seconds = [f"{each[name]:.2f}" for name in ("p50", "p95", "p99")]
    is_event = each["sent"] is not None and floor is not None
    return [
        each["what"],
        "" if each["sent"] is None else f"{each['sent']:.1f}",
        f"{each['count']:,}",
        *seconds,
        f"{each['curve'][-1]:.2f}",
        f"{each['p50'] - (floor or 0.0):+.2f}" if is_event else "",
        f"{each['runs']:,}",
        *(f"{each[name]:.1f}" for name in ("between_ticks", "to_start", "to_end")),
    ]


def _draw(figures: Sequence[Figures]) -> Draw:
    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        percent = [100 * share for share in SHARES]
        colours = iter(COLOURS)
        for each in figures:
            if each["sent"] is None:
                style = "--" if each["what"] == FLOOR else ":"
                axes.plot(each["curve"], percent, style, color=GREY, label=each["what"])
            else:
                colour = next(colours, GREY)
                axes.plot(each["curve"], percent, color=colour, label=each["what"], linewidth=2)
        axes.set(xlabel="seconds", ylabel="% that took no longer", xlim=(0, None), ylim=(0, 101))
        plain_numbers(axes, "x")
        axes.legend(loc="lower right")

    return draw


PAGE: Final = Page(
    title="From event to row",
    table=_table,
    draw=_draw,
    method="""
Each event counts from the moment at which its producer hands it to SQS to the moment of the commit
that holds its row, as Postgres has recorded it; both are of one clock. Every event of a rate is
counted. Daemon, code servers and runs are real processes, with Dagster's storage in the same
Postgres, and share the machine with queue, Postgres and producer. The feed's own linger applies:
few messages wait for others before a run is asked for, unless the settings above say otherwise.
The last three columns tell what the seconds are made of: how often the sensor had a tick, and, as
medians over the runs, how long one waited for its process and how long it then took.

The floor is a job of one op that does nothing, in a code location that imports nothing but Dagster,
with a sensor of the same interval, on the same instance, before each rate and while nothing else
runs. Its event is a file that its sensor finds; it counts from there, or from the request for the
run, to the end of the run.
""",
)
