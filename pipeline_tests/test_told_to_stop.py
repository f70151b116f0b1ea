"""The first signal is a request, the second an order: a process of its own hears them."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from pipeline_tests.samples import PATIENCE

SIGNALS: Final = [signal.SIGTERM, signal.SIGINT]

WORK: Final = """
import sys, threading
from pipeline.operate.told_to_stop import ToldToStop, TooLate

def work():
    print("at work", flush=True)
    told.stop.wait()
    print("told", flush=True)
    if "{ending}" == "never":
        threading.Event().wait()
    return "done"

with ToldToStop() as told:
    try:
        print(told.until(work, {grace}), flush=True)
    except TooLate:
        print("too late", flush=True)
        import os
        os._exit(0)  # as those do whose work goes on
"""


@contextmanager
def at_work(ending: str = "soon", grace: str = "60") -> Iterator[subprocess.Popen[str]]:
    """A process at its work, gone when the block ends."""
    script = WORK.format(ending=ending, grace=grace)
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert line(process) == "at work"
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_first_signal_lets_the_work_end(number: signal.Signals) -> None:
    with at_work() as process:
        process.send_signal(number)
        assert (line(process), line(process)) == ("told", "done")
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_second_signal_ends_all_at_once(number: signal.Signals) -> None:
    with at_work("never") as process:
        process.send_signal(number)
        assert line(process) == "told"
        process.send_signal(number)
        assert ended(process)
        assert process.returncode == 128 + number


def ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return False
    return True


def test_work_that_outlasts_its_grace_is_too_late() -> None:
    with at_work("never", "0.05") as process:
        process.send_signal(signal.SIGTERM)
        assert (line(process), line(process)) == ("told", "too late")
        assert process.wait(PATIENCE) == 0
