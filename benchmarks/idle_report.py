"""The page of `idle`: what sensors cost where there is nothing to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.plots import COLOURS, Draw
from benchmarks.report import Figures, Page, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WITH: Final = "with our sensors"
WITHOUT: Final = "without any sensor"
EMPTY_ONES: Final = "with sensors that do nothing"

_CORE: Final = 0.01
"""Of a core, that our sensors may cost."""

_CALLS: Final = 12.0
"""Calls of SQS that each feed may cost in a minute: one in five seconds."""

_PARTS: Final = ("daemon", "code server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """One instance, while its queues were empty.

    Attributes:
        what: `WITH`, `EMPTY_ONES` or `WITHOUT`.
        seconds: For how long it was watched.
        cpu_seconds: Of a core, by part.
        calls: Of SQS, all of them; 0 where nothing looks at it.
        feeds: How many feeds it has.
        ticks: Of all sensors.
        tick_seconds: From one tick of a feed's sensor to the next, on average; 0 where it has none.
    """

    what: str
    seconds: float
    cpu_seconds: dict[str, float]
    calls: int
    feeds: int
    ticks: int
    tick_seconds: float


def share(each: Figures) -> float:
    """Of a core, all parts together."""
    return float(sum(each["cpu_seconds"].values()) / each["seconds"])


def calls_a_minute(each: Figures) -> float:
    """Of SQS, for each feed."""
    return float(each["calls"] / each["feeds"] / each["seconds"] * 60)


def _table(figures: Sequence[Figures]) -> str:
    by_name = {each["what"]: each for each in figures}
    ours, bare = by_name[WITH], by_name[WITHOUT]
    head = (
        "", *(f"{part}, of a core" for part in _PARTS), "both", "beyond", "ticks a minute",
        "ms of a core per tick", "SQS calls per feed and minute",
    )  # fmt: skip
    beyond, calls = share(ours) - share(bare), calls_a_minute(ours)
    return (
        f"{table(head, [_row(each, bare) for each in figures])}\n\n"
        f"Our sensors cost {beyond:.2%} of a core ({_kept(beyond < _CORE)}: below {_CORE:.0%}) and"
        f" {calls:.1f} calls a minute for each of {ours['feeds']} feeds"
        f" ({_kept(calls <= _CALLS)}: at most {_CALLS:.0f}). A feed's sensor has a tick in"
        f" {ours['tick_seconds']:.1f} s."
    )


def _row(each: Figures, bare: Figures) -> list[str]:
    beyond, ticks = share(each) - share(bare), each["ticks"]
    return [
        each["what"],
        *(f"{each['cpu_seconds'][part] / each['seconds']:.2%}" for part in _PARTS),
        f"{share(each):.2%}",
        f"{beyond:.2%}" if ticks else "",
        f"{ticks / each['seconds'] * 60:.0f}",
        f"{1000 * beyond * each['seconds'] / ticks:.0f}" if ticks else "",
        f"{calls_a_minute(each):.1f}",
    ]


def _kept(holds: bool) -> str:  # noqa: FBT001 - it is what is told
    return "the goal is met" if holds else "the goal is missed"


def _draw(figures: Sequence[Figures]) -> Draw:
    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        names = [each["what"] for each in figures]
        left = [0.0] * len(figures)
        for part, colour in zip(_PARTS, COLOURS, strict=False):
            widths = [100 * each["cpu_seconds"][part] / each["seconds"] for each in figures]
            bars = axes.barh(names, widths, left=left, color=colour, label=part, height=0.5)
            left = [before + width for before, width in zip(left, widths, strict=True)]
        axes.bar_label(bars, [f"{width:.1f} %" for width in left], padding=3)
        axes.set(xlabel="% of a core, with nothing to do")
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside upper center", ncols=2)

    return draw


PAGE: Final = Page(
    title="With nothing to do",
    table=_table,
    draw=_draw,
    method="""
Three instances of Dagster at the same time, each with a daemon, a code server and a storage of its
own in one Postgres: one as deployed, one with the same definitions but without their sensors, and
one where others stand in their places, with the same intervals, that do nothing: what those cost is
what Dagster itself takes for so many ticks. All queues are empty, no run is asked for. The calls
are all calls of SQS, those that look at dead letters and settings too; only the first instance
makes any. What Postgres takes for the ticks is not counted.
""",
)
