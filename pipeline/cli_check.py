"""The command of those who set a deployment up: check."""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from pipeline import feeds

if TYPE_CHECKING:
    from pipeline.contract import Feed
    from pipeline.operate.start_up.finding import Finding

app = typer.Typer()
_out = Console(soft_wrap=True, highlight=False, markup=False)


@app.command()
def check() -> None:
    """Say what is set so that it will go wrong later: queues, warehouse, keyring, clocks, runs.

    Changes nothing, and receives nothing. Each finding is one line: how bad, where, what, and
    what to do. The exit status is 1 where one of them is an error. With DAGSTER_HOME set, the
    instance's limits are looked at too.
    """
    from pipeline.operate.start_up.check import check as look  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    declared = feeds.discover()
    found = [*look(os.environ, Outside.of(os.environ), declared), *_instance(declared)]
    for each in sorted(found, key=lambda finding: finding.level):
        _out.print(f"{each.level:<8} {each}", style="red" if each.level == "error" else None)
    if not found:
        _out.print("nothing is amiss")
    if any(each.level == "error" for each in found):
        raise typer.Exit(1)


def _instance(declared: "Sequence[Feed]") -> "Iterator[Finding]":
    if not os.environ.get("DAGSTER_HOME"):
        return
    from pipeline.operate.start_up.storage import check_instance  # noqa: PLC0415 - late, as above: 3 s

    yield from check_instance(declared)
