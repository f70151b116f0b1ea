"""Drives the core through schedules: `make simulate ARGS="--steps 1000000 --seed 7"`."""

import secrets
import time
import traceback
from collections import Counter
from typing import Annotated

import typer

from simulation.drive import explore, uncovered
from simulation.oracles import Violation
from simulation.tally import Tally

_AT_ONCE = 1_000  # schedules between two lines of progress


def simulate(
    steps: Annotated[int, typer.Option(help="Carry out at least so many.", min=1)] = 25_000,
    seed: Annotated[int | None, typer.Option(help="The same one finds the same.")] = None,
) -> None:
    """Crashes, redeliveries, refusals and redrives in every order, on a clock of their own."""
    chosen = secrets.randbelow(10**6) if seed is None else seed
    print(f"seed {chosen}")
    tally, started, portion = Tally(), time.process_time(), 0
    try:
        while tally.rules.total() < steps:
            explore(tally, schedules=_AT_ONCE, chosen_by=chosen * 1_000 + portion)
            portion += 1
            _tell(tally, time.process_time() - started)
    except Violation as violation:
        print("".join(traceback.format_exception_only(violation)))
        print(f"found with seed {chosen}, after {tally.schedules} schedules")
        raise typer.Exit(1) from None
    _show("rules", tally.rules)
    _show("faults that had an effect", tally.struck)
    _show("what else came about", tally.came)
    if missing := uncovered(tally):
        print(f"never: {', '.join(missing)}")
        raise typer.Exit(1)


def _tell(tally: Tally, seconds: float) -> None:
    print(
        f"{tally.rules.total()} steps in {tally.schedules} schedules:"
        f" {seconds:.0f} s of one core, {tally.schedules * 60 / seconds:.0f} schedules a minute",
        flush=True,
    )


def _show(title: str, counts: Counter[str]) -> None:
    print(title)
    for name, count in counts.most_common():
        print(f"  {count:>9,} {name}")


typer.run(simulate)
