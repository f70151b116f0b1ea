"""Makes pages and pictures anew from figures that were kept, such as those in docs/benchmarks."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks import growth_report, idle_report, latency_report, whole_report
from benchmarks.report import Page, Report

PAGES: Final[Mapping[str, Page]] = {
    "whole": whole_report.PAGE,
    "latency": latency_report.PAGE,
    "growth": growth_report.PAGE,
    "idle": idle_report.PAGE,
}
"""Of every benchmark that is kept in this form."""


def redraw(
    folder: Annotated[Path, typer.Argument(help="Where the JSON files are.")],
) -> None:
    """Write pages and pictures again, from the figures of a folder."""
    for name, page in PAGES.items():
        file = folder / f"{name}.json"
        if file.exists():
            Report.read(file).write(page, folder)
            print(f"{folder / name}.md and .svg")
