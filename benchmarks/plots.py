"""Pictures of figures: SVG that reads on light and on dark, and changes only where figures do."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = ("#2f88c5", "#d9822b", "#2f9e6e", "#b068ac")
"""Of the series, in their order: told apart by people who do not see all colours, too."""

GREY: Final = "#808080"
"""Of words and lines: about as far from white as from black."""

_STYLE: Final[dict[str, Any]] = {  # its keys are literals where it is used
    "svg.hashsalt": "benchmarks",  # else ids are random
    "svg.fonttype": "none",  # words stay words
    "text.color": GREY,
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "font.size": 9,
}

Draw = Callable[["Figure"], None]
"""Draws on an empty figure."""


def save(draw: Draw, path: Path) -> None:
    """Writes a picture."""
    import matplotlib as mpl  # noqa: PLC0415 - 1 s, and memory that other benchmarks would count
    from matplotlib.figure import Figure  # noqa: PLC0415 - as above

    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(7.5, 3.2), layout="constrained")
        draw(figure)
        figure.savefig(
            path, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    # matplotlib ends some lines with blanks, which no file of this project has.
    lines = path.read_text().splitlines()
    path.write_text("".join(f"{line.rstrip()}\n" for line in lines))


def plain_numbers(axes: "Axes", which: str) -> None:
    """Writes 1,000 and not 10³ on an axis, `x` or `y`."""
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415 - as above

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
