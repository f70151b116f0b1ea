"""The page of `whole`: the whole path beside the data plane alone."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.plots import COLOURS, Draw, plain_numbers
from benchmarks.report import Figures, Page, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WHOLE: Final = "whole path"
ALONE: Final = "data plane alone"

_HEAD: Final = (
    "", "messages/s", "CPU s per million", "queue, of a core", "runs",
    "calls a message", "peak MiB",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One way in one round.

    Attributes:
        way: `WHOLE` or `ALONE`.
        messages: That were moved.
        seconds: From the first tick of the sensor, or the start of the work, to the moment at which
            the last message was acknowledged.
        cpu_seconds: Of a core, of all that moves them: daemon, code server and runs; or the one
            process. Neither queue nor Postgres.
        queue_seconds: Of a core, that the queue took.
        runs: Of Dagster; 0 where it was not asked.
        calls: Of SQS, all of them.
        peak_mib: The most memory that one run, or the one process, had.
    """

    way: str
    messages: int
    seconds: float
    cpu_seconds: float
    queue_seconds: float
    runs: int
    calls: int
    peak_mib: float

    def line(self) -> str:
        """For whoever watches."""
        return (
            f"{self.way:<16} {self.messages / self.seconds:9,.0f} messages/s"
            f" {self.cpu_seconds:8.1f} CPU s {self.runs:4} runs"
        )


def ratio(rounds: Sequence[Figures]) -> float:
    """The median, over the rounds, of the whole path's rate to the data plane's."""
    pairs = zip(_rates(rounds, WHOLE), _rates(rounds, ALONE), strict=True)
    return statistics.median(whole / alone for whole, alone in pairs)


def _table(rounds: Sequence[Figures]) -> str:
    rows = [_row([each for each in rounds if each["way"] == way], way) for way in (WHOLE, ALONE)]
    made = table(_HEAD, rows)
    count = len(rounds) // 2
    return f"{made}\n\nThe whole path has {ratio(rounds):.2f} of the data plane's rate" + (
        "." if count == 1 else f", the median of {count} rounds; the medians of each are above."
    )


def _row(rounds: Sequence[Figures], way: str) -> list[str]:
    def median(values: Iterable[float]) -> float:
        return statistics.median(values)

    return [
        way,
        f"{median(_rates(rounds, way)):,.0f}",
        f"{median(each['cpu_seconds'] / each['messages'] for each in rounds) * 1e6:,.1f}",
        f"{median(each['queue_seconds'] / each['seconds'] for each in rounds):.0%}",
        f"{median(each['runs'] for each in rounds):.0f}" if way == WHOLE else "",
        f"{median(each['calls'] / each['messages'] for each in rounds):.3f}",
        f"{max(each['peak_mib'] for each in rounds):.0f}",
    ]


def _rates(rounds: Sequence[Figures], way: str) -> list[float]:
    return [each["messages"] / each["seconds"] for each in rounds if each["way"] == way]


def _draw(rounds: Sequence[Figures]) -> Draw:
    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        for place, way in enumerate((WHOLE, ALONE)):
            rates = _rates(rounds, way)
            places = [number + (place - 0.5) * 0.38 for number in range(1, len(rates) + 1)]
            bars = axes.bar(places, rates, width=0.36, color=COLOURS[place], label=way)
            axes.bar_label(bars, fmt="{:,.0f}", padding=2)
        axes.set(xlabel="round", ylabel="messages/s", xticks=range(1, len(rounds) // 2 + 1))
        axes.margins(y=0.15)
        plain_numbers(axes, "y")
        axes.grid(visible=False, axis="x")
        figure.legend(loc="outside upper center", ncols=2)

    return draw


PAGE: Final = Page(
    title="The whole path beside the data plane alone",
    table=_table,
    draw=_draw,
    method="""
The messages wait on the queue before anything looks at it. The whole path is a daemon with its
sensors, a code server and run workers, all real processes, with Dagster's storage in the same
Postgres; it counts from the first tick of the sensor to the moment at which the last message is
acknowledged, and so holds every start of a run. The daemon's own start is left out. The data plane
alone is the same batches in one process that is ready when they come. Both start with empty tables,
in turn. CPU and memory are those of the processes that move messages, until the last run has ended;
the queue's share of a core is told apart, Postgres's is not. The calls are all calls of SQS, those
of every sensor too. Queue and Postgres share the machine.
""",
)
