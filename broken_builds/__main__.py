"""Tries every broken build, or those that are named: `make broken ARGS="acknowledge-first"`."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Final

import typer

from broken_builds.build import Build
from broken_builds.catalogue import CATALOGUE
from broken_builds.document import DOCUMENT, render
from broken_builds.trial import ROOT, Trial, Verdict, attempt, attempt_sound

_AT_ONCE: Final = 2
_TABLE: Final = "table"


def main(
    names: Annotated[
        list[str] | None,
        typer.Argument(help=f"Builds; all where none is named. `{_TABLE}` writes the document."),
    ] = None,
) -> None:
    """Breaks the code on purpose: the test that is named for each build must see it."""
    if names == [_TABLE]:
        (ROOT / DOCUMENT).write_text(render(CATALOGUE), "utf-8")
        return
    builds = _chosen(names or [])
    started = time.monotonic()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        tests = sorted({build.test for build in builds})
        shares = [share for place in range(_AT_ONCE) if (share := tests[place::_AT_ONCE])]
        for place, trial in enumerate(pool.map(attempt_sound, shares), start=1):
            is_sound = trial.verdict is Verdict.SURVIVED
            _show(f"the tests alone, {place}", "sound" if is_sound else "NOT SOUND", trial)
            if not is_sound:
                raise typer.Exit(2)
        trials = []
        for build, trial in zip(builds, pool.map(attempt, builds), strict=True):
            _show(build.name, trial.verdict, trial)
            trials.append(trial)
    killed = sum(trial.verdict is Verdict.KILLED for trial in trials)
    spent = os.times()
    print(
        f"killed {killed} of {len(builds)} in {time.monotonic() - started:.0f} s,"
        f" {spent.children_user + spent.children_system:.0f} s of one core"
    )
    if killed < len(builds):
        raise typer.Exit(1)


def _chosen(names: Sequence[str]) -> list[Build]:
    by_name = {build.name: build for build in CATALOGUE}
    if unknown := [name for name in names if name not in by_name]:
        raise typer.BadParameter(f"no such build: {', '.join(unknown)}")
    return [by_name[name] for name in names] or list(CATALOGUE)


def _show(name: str, what: str, trial: Trial) -> None:
    told = trial.told.partition("\n")[0][:160] if what in {"sound", Verdict.KILLED} else trial.told
    print(f"{name:<40} {what:<10} {trial.seconds:5.1f} s  {told}", flush=True)


typer.run(main)
