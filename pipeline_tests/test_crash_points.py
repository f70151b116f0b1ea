"""Rehearsing a crash: nothing happens unasked, and what is asked for happens there and then."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.crash_points import SETTING, Crash, CrashPoint
from pipeline.errors import SettingsError

# Comes to one moment once and to another three times; tells each time that it is past it.
PROGRAM = """
from pipeline.crash_points import CrashPoint, reach
reach(CrashPoint.AFTER_DECODE)
for nth in (1, 2, 3):
    reach(CrashPoint.AFTER_COMMIT)
    print(nth, flush=True)
"""


def run(**environment: str) -> tuple[int, str, str]:
    """The program in a process of its own: its status, and what it has printed."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said, errors = process.communicate()
    return process.returncode, said, errors


def test_without_the_setting_nothing_happens() -> None:
    assert run() == run(**{SETTING: ""}) == (0, "1\n2\n3\n", "")


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM"])
def test_a_signal_comes_at_the_moment_and_the_process_says_so_before(end: str) -> None:
    status, said, errors = run(**{SETTING: f"after_commit:{end}:2"})
    assert (status, said) == (-signal.Signals[end], "1\n")
    assert errors == f"{SETTING}: {end} at after_commit\n"


def test_memory_runs_out_at_the_moment() -> None:
    status, said, errors = run(**{SETTING: "after_commit:MemoryError:3"})
    assert (status, said) == (1, "1\n2\n")
    assert errors.startswith(f"{SETTING}: MemoryError at after_commit\n")
    assert errors.endswith("MemoryError\n")


def test_a_stopped_process_goes_on_when_it_is_woken() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, SETTING: "after_commit:SIGSTOP"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        process.send_signal(signal.SIGCONT)
        assert process.communicate()[0] == b"1\n2\n3\n"


@pytest.mark.parametrize(
    "order",
    [
        "after_commit",
        "after_commit:",
        "after_commit:SIGHUP",
        "nowhere:SIGKILL",
        "after_commit:SIGKILL:",
        "after_commit:SIGKILL:0",
        "after_commit:SIGKILL:-1",
        "after_commit:SIGKILL:2:3",
    ],
)
def test_an_order_that_cannot_be_read_is_refused_with_what_may_stand_there(order: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Crash(order)
    assert "after_commit" in str(caught.value)
    assert "SIGKILL" in str(caught.value)


def test_of_many_threads_one_dies() -> None:
    crash = Crash("before_delete:MemoryError:7")

    def dies(meet: Callable[[CrashPoint], None]) -> bool:
        try:
            meet(CrashPoint.BEFORE_DELETE)
        except MemoryError:
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(dies, [crash.meet] * 40)) == 1
