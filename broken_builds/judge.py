"""A plugin of pytest that tells how the tests of a build failed, and whose code it was that ran.

It runs in the process of the broken build. To fail is not enough: a build that cannot be imported
fails every test, and shows nothing.
"""

import json
import os
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from pipeline.errors import PipelineError, UnexpectedError

RESULT: Final = "BROKEN_BUILDS_RESULT"
"""The environment variable that names the file for what was found."""

_OURS: Final = re.compile(r"(?:pipeline|pipeline_tests|simulation|crashes|broken_builds)\b")
# Where code under test catches everything, its own slips are told in its log, or in a traceback.
_SLIPS: Final = re.compile(
    r"\b(?:NameError|UnboundLocalError|ImportError|ModuleNotFoundError|SyntaxError)\b"
    r"|Exception in thread"
)

_seen: Final[list[dict[str, object]]] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keeps what a test failed by."""
    report = yield
    if report.failed and call.excinfo is not None:
        text = "\n".join([report.longreprtext, *(part for _, part in report.sections)])
        _seen.append(
            {
                "test": report.nodeid,
                "type": type(call.excinfo.value).__name__,
                "told": _line(call.excinfo.value),
                "slip": _SLIPS.search(text) is not None,
                "sound": all(_is_sound(each) for each in _leaves(call.excinfo.value)),
            }
        )
    return report


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Keeps what kept tests from being collected."""
    if report.failed:
        told = "not collected"
        _seen.append(
            {"test": report.nodeid, "type": "", "told": told, "slip": True, "sound": False}
        )


def pytest_sessionfinish() -> None:
    """Writes down what was seen, and the files of this project that came from elsewhere."""
    here = Path.cwd()
    files = [
        Path(file)
        for name, module in list(sys.modules.items())
        if _OURS.match(name) and (file := getattr(module, "__file__", None))
    ]
    strangers = [str(file) for file in files if not file.is_relative_to(here)]
    found = {"failures": _seen, "strangers": strangers, "modules": len(files)}
    Path(os.environ[RESULT]).write_text(json.dumps(found), "utf-8")


def _is_sound(error: BaseException) -> bool:
    """Whether a test or one of the project's own checks has said no."""
    if isinstance(error, PipelineError):
        return not isinstance(error, UnexpectedError)
    return isinstance(error, AssertionError | pytest.fail.Exception)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _line(error: BaseException) -> str:
    first = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first}"
