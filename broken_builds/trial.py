"""Tries builds: a copy of the source, broken, and a process that runs its test against the copy."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from broken_builds.build import Build, StaleEdit
from broken_builds.judge import RESULT

ROOT: Final = Path(__file__).parent.parent
"""Where the sound source is."""

_SECONDS: Final = 300.0  # for a test; the slowest takes a tenth of it where it is alone
_GRACE: Final = 20.0  # for what it has started to be stopped
_ALL_PASSED, _SOME_FAILED = 0, 1  # exit codes of pytest


class Verdict(StrEnum):
    """What became of a build."""

    KILLED = "killed"
    SURVIVED = "SURVIVED"
    STILLBORN = "STILLBORN"  # it fails for another reason than the one that it was made for
    STALE = "STALE"  # the source has changed since it was written
    HUNG = "HUNG"


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial came to.

    Attributes:
        verdict: The verdict.
        seconds: How long it took.
        told: What the test said, or why there is nothing that it could have said.
    """

    verdict: Verdict
    seconds: float
    told: str


def attempt(build: Build, root: Path = ROOT) -> Trial:
    """Breaks a copy, and runs the build's test against it.

    Args:
        build: The build.
        root: Where the sound source is.
    """
    started = time.monotonic()
    try:
        texts = build.broken(root)
    except (StaleEdit, SyntaxError) as error:
        return Trial(Verdict.STALE, time.monotonic() - started, str(error))
    verdict, told = _run([build.test], texts, root, escapes=build.escapes)
    return Trial(verdict, time.monotonic() - started, told)


def attempt_sound(tests: Sequence[str], root: Path = ROOT) -> Trial:
    """Runs tests against a copy in which nothing is broken: none of them may fail there."""
    started = time.monotonic()
    verdict, told = _run(tests, {}, root)
    return Trial(verdict, time.monotonic() - started, told)


def _run(
    tests: Sequence[str], texts: Mapping[str, str], root: Path, *, escapes: str | None = None
) -> tuple[Verdict, str]:
    with _copied(root) as copy:
        for file, text in texts.items():
            (copy / file).write_text(text, "utf-8")
        result = copy / ".result.json"
        code, output = _pytest(copy, tests, result)
        if code is None:
            return Verdict.HUNG, f"not over in {_SECONDS:.0f} s"
        if code not in {_ALL_PASSED, _SOME_FAILED} or not result.exists():
            return Verdict.STILLBORN, f"pytest ended with {code}: {output.strip()[-2_000:]}"
        return _judged(json.loads(result.read_text("utf-8")), escapes)


def _judged(found: Mapping[str, Any], escapes: str | None) -> tuple[Verdict, str]:
    if found["strangers"] or not found["modules"]:
        return Verdict.STILLBORN, f"code from elsewhere was run: {found['strangers'][:3]}"
    if not found["failures"]:
        return Verdict.SURVIVED, "nothing failed"
    first = found["failures"][0]
    told = f"{first['test'].rpartition('::')[2]}: {first['told']}"
    if first["slip"] or not (first["sound"] or first["type"] == escapes):
        return Verdict.STILLBORN, f"not by an assertion: {told}"
    return Verdict.KILLED, told


def _pytest(copy: Path, tests: Sequence[str], result: Path) -> tuple[int | None, str]:
    """Runs tests; the exit code, or None where they have not ended in time, and the output."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    # The copy comes first on the path, here and in every process that a test starts.
    environment = {**os.environ, "PYTHONPATH": str(copy), RESULT: str(result)}
    process = subprocess.Popen(  # noqa: S603 - our own command
        [*command, "-p", "broken_builds.judge", *tests],
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate(timeout=_SECONDS * len(tests))
        except BaseException as error:
            _end(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return None, ""
        return process.returncode, output


def _end(process: subprocess.Popen[str]) -> None:
    """Interrupts it, so that fixtures stop what they have started; then kills what is left."""
    for how in (signal.SIGINT, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_GRACE)
            return


@contextmanager
def _copied(root: Path) -> Iterator[Path]:
    """A copy of the source, bytecode included: only what is broken is compiled again."""
    with tempfile.TemporaryDirectory(prefix="broken-build-") as folder:
        copy = Path(folder).resolve()
        for each in root.iterdir():
            if each.name.startswith(".") or each.suffix == ".egg-info":
                continue
            if each.is_dir():
                shutil.copytree(each, copy / each.name, ignore_dangling_symlinks=True)
            else:
                shutil.copy2(each, copy)
        yield copy
