"""The command line: in this process, which is quick, or as the process that a person starts."""

import io
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from pipeline.cli import main

PIPELINE: Final = Path(sys.executable).with_name("pipeline")
ERROR: Final = re.compile(r"error (E_[A-Z_]+): .+\n")


def alone(folder: Path) -> dict[str, str]:
    """An environment in which nothing is set but where the embedded services are."""
    temporary = folder.with_name("temporary")
    temporary.mkdir(exist_ok=True)
    return {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(folder.parent),
        "TMPDIR": str(temporary),
        "PIPELINE_LOCAL_DIR": str(folder),
    }


def pipeline(
    environment: Mapping[str, str], *arguments: str, given: str | bytes = ""
) -> subprocess.CompletedProcess[str]:
    """What the command does in an environment, without a process of its own.

    Args:
        environment: All of it; what else is set here is not seen.
        arguments: What a person would type after `pipeline`.
        given: Standard input.
    """
    out, err = _stream(), _stream()
    with pytest.MonkeyPatch.context() as patch, _as_it_was(), _alone_set(environment):
        patch.setattr(sys, "argv", ["pipeline", *arguments])
        # Else help tells of `python -m pytest`.
        patch.setattr(sys.modules["__main__"], "__package__", None)
        patch.setattr(sys, "stdin", _stream(given.encode() if isinstance(given, str) else given))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        else:
            status = 0
    assert isinstance(status, int)
    return subprocess.CompletedProcess(arguments, status, _written(out), _written(err))


def process(
    environment: Mapping[str, str], *arguments: str, given: str = ""
) -> subprocess.CompletedProcess[str]:
    """The same as a process, where that is what matters."""
    return subprocess.run(
        [str(PIPELINE), *arguments],
        env=dict(environment),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def printed(done: subprocess.CompletedProcess[str]) -> str:
    """What a command printed that did what it was asked, without a word of complaint."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def succeeds(environment: Mapping[str, str], *arguments: str) -> str:
    """What a command prints that does what it is asked."""
    return printed(pipeline(environment, *arguments))


def fails(environment: Mapping[str, str], *arguments: str) -> tuple[str, str]:
    """The code and the text of the one error with which a command ends."""
    done = pipeline(environment, *arguments)
    assert done.returncode == 1
    found = ERROR.fullmatch(done.stderr)
    assert found, done.stderr
    return found[1], found[0]


def _stream(content: bytes = b"") -> io.TextIOWrapper:
    """A stream as Python opens the standard ones where no language is set."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="surrogateescape")


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode()


@contextmanager
def _alone_set(environment: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    _set(environment)
    try:
        yield
    finally:
        _set(before)


def _set(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


@contextmanager
def _as_it_was() -> Iterator[None]:
    """Around what the safeguards and typer put into a process."""
    records = logging.getLogRecordFactory()
    with pytest.MonkeyPatch.context() as patch:
        for place, name in (
            (sys, "excepthook"),
            (sys, "unraisablehook"),
            (threading, "excepthook"),
            (warnings, "formatwarning"),
        ):
            patch.setattr(place, name, getattr(place, name))  # and so back again at the end
        try:
            yield
        finally:
            logging.setLogRecordFactory(records)
