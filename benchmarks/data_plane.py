"""The data plane alone, in processes of its own that begin together.

    python -m benchmarks.data_plane

reads a task as one line of JSON, makes itself ready and says so, waits for another line, works the
task off and prints what it took as JSON. It is what `drain` and `peers` measure, so that all of
them follow the code in the same way.
"""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import IO, Final

from benchmarks.loops import Spent, Task
from benchmarks.memory import peak_mib
from benchmarks.outside import Services

_READY: Final = "ready"


@dataclass(frozen=True, slots=True)
class Together:
    """What processes that worked side by side took.

    Attributes:
        seconds: From the start of all to the end of the last one.
        cpu_seconds: Of all of them.
        peak_mib: The most memory that one of them had.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float


def task_of(services: Services, messages: int) -> Task:
    """So many messages of those that wait."""
    return Task(
        messages=messages,
        endpoint=services.queue.url,
        queue_url=services.logins.url,
        postgres_url=services.postgres_url,
        keyring=str(services.place.keyring),
        distinct=1.0,
    )


def side_by_side(tasks: list[Task]) -> Together:
    """Works some tasks off, each in a process of its own.

    Raises:
        SystemExit: One of them failed.
    """
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_process()) for _ in tasks]
        for process, task in zip(processes, tasks, strict=True):
            _tell(process.stdin, json.dumps(asdict(task)))
        for process in processes:
            _hear(process)
        started = time.perf_counter()
        for process in processes:
            _tell(process.stdin, "go")
        spent = [Spent(**json.loads(_hear(process))) for process in processes]
        seconds = time.perf_counter() - started
    return Together(
        seconds, sum(each.cpu_seconds for each in spent), max(each.peak_mib for each in spent)
    )


@contextlib.contextmanager
def _process() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.data_plane"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.terminate()


def _tell(pipe: IO[str] | None, line: str) -> None:
    assert pipe is not None  # noqa: S101 - as it was asked for
    pipe.write(f"{line}\n")
    pipe.flush()


def _hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None  # noqa: S101 - as it was asked for
    if line := process.stdout.readline():
        return line
    raise SystemExit("the data plane failed: see above")


def _main() -> None:
    from benchmarks.own_loops import OWN_LOOPS  # noqa: PLC0415 - pandas: only where it is at work

    work = OWN_LOOPS["ours"](Task(**json.loads(sys.stdin.readline())))
    print(_READY, flush=True)
    sys.stdin.readline()
    started, busy = time.perf_counter(), time.process_time()
    work()
    busy, seconds = time.process_time() - busy, time.perf_counter() - started
    print(json.dumps(asdict(Spent(seconds=seconds, cpu_seconds=busy, peak_mib=peak_mib()))))


if __name__ == "__main__":
    _main()
