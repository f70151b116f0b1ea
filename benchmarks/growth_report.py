"""The page of `growth`: rate and memory of a drain by what waits, and by runs side by side."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.plots import COLOURS, GREY, Draw, plain_numbers
from benchmarks.report import Figures, Page, table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEAD: Final = (
    "messages", "runs", "messages/s", "to one run", "CPU s per million", "the queue's",
    "peak MiB of a run",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """One drain.

    Attributes:
        messages: That waited.
        runs: Processes side by side.
        seconds: From the start of all to the end of the last.
        cpu_seconds: Of a core, of all of them.
        queue_seconds: Of a core, that the queue took.
        peak_mib: The most memory that one of them had.
    """

    messages: int
    runs: int
    seconds: float
    cpu_seconds: float
    queue_seconds: float
    peak_mib: float

    def line(self) -> str:
        """For whoever watches."""
        return (
            f"{self.messages:>9,} messages {self.runs} runs"
            f" {self.messages / self.seconds:9,.0f} messages/s {self.peak_mib:6.0f} MiB"
        )


def medians(drains: Sequence[Figures]) -> list[Figures]:
    """One for each size and number of runs, in the order in which they were measured.

    Of rates and CPU seconds the medians over the rounds, of memory the most.
    """
    groups: dict[tuple[int, int], list[Figures]] = {}
    for each in drains:
        groups.setdefault((each["messages"], each["runs"]), []).append(each)
    return [
        {
            "messages": messages,
            "runs": runs,
            "rate": statistics.median(messages / each["seconds"] for each in group),
            "cpu": statistics.median(each["cpu_seconds"] / messages * 1e6 for each in group),
            "queue": statistics.median(each["queue_seconds"] / each["seconds"] for each in group),
            "peak_mib": max(each["peak_mib"] for each in group),
        }
        for (messages, runs), group in groups.items()
    ]


def _table(drains: Sequence[Figures]) -> str:
    rows = medians(drains)
    alone = {each["messages"]: each["rate"] for each in rows if each["runs"] == 1}
    return table(_HEAD, [_row(each, alone.get(each["messages"])) for each in rows])


def _row(each: Figures, alone: float | None) -> list[str]:
    return [
        f"{each['messages']:,}",
        str(each["runs"]),
        f"{each['rate']:,.0f}",
        "" if alone is None or each["runs"] == 1 else f"{each['rate'] / alone:.2f}",
        f"{each['cpu']:,.1f}",
        f"{each['queue']:.0%}",
        f"{each['peak_mib']:.0f}",
    ]


def _draw(drains: Sequence[Figures]) -> Draw:
    rows = medians(drains)

    def draw(figure: "Figure") -> None:
        both = figure.subplots(1, 2)
        for axes, what, name in zip(
            both, ("rate", "peak_mib"), ("messages/s", "peak MiB of a run"), strict=True
        ):
            colours = iter(COLOURS)
            for runs in sorted({each["runs"] for each in rows}):
                line = [each for each in rows if each["runs"] == runs]
                sizes, values = [each["messages"] for each in line], [each[what] for each in line]
                label = f"{runs} run" if runs == 1 else f"{runs} runs"
                colour = next(colours, GREY)
                axes.plot(sizes, values, "o-", color=colour, label=label, linewidth=2)
            top = 1.1 * max(each[what] for each in rows)
            axes.set(xscale="log", xlabel="messages on the queue", ylabel=name, ylim=(0, top))
            axes.set_xticks(sorted({each["messages"] for each in rows}))
            axes.minorticks_off()
            plain_numbers(axes, "x")
            plain_numbers(axes, "y")
        figure.legend(*both[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)

    return draw


PAGE: Final = Page(
    title="How a drain grows",
    table=_table,
    draw=_draw,
    method="""
So many messages wait on the queue; so many processes share them evenly, each of them the data
plane alone, warm before they come, in batches of at most the feed's limit. The rate is that of
all of them together, from their common start to the end of the last. Tables are empty before each
drain. CPU and memory are theirs; the queue's share of a core is told apart, Postgres's is not.
Both share the machine: more processes than it has cores cannot be quicker for its sake, only for
that of answers that are waited for.
""",
)
