"""The embedded queue in a process of its own, with an answer time that can be set."""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_STEER_SECONDS: Final = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What a queue has done so far.

    Attributes:
        calls: Receives, deletes and changes of visibility, single or by tens.
        all_calls: All calls of SQS.
        delayed: Calls whose answer came later.
        cpu_seconds: Of a core, that its process took; 0 where that cannot be read.
    """

    calls: int
    all_calls: int
    delayed: int
    cpu_seconds: float

    def since(self, before: "Counts") -> "Counts":
        """What came after another count."""
        return Counts(
            self.calls - before.calls,
            self.all_calls - before.all_calls,
            self.delayed - before.delayed,
            self.cpu_seconds - before.cpu_seconds,
        )


@dataclass(frozen=True, slots=True)
class SteeredQueue:
    """A queue that runs, and may be told how to answer."""

    url: str
    pid: int

    def answer_after(self, seconds: float) -> None:
        """Every answer comes so much later from now on; the work itself is done at once."""
        delay = {"operation": "*", "effect": {"kind": "delay", "seconds": seconds}}
        self._steer("SetRules", {"rules": [delay] if seconds else []})

    def counts(self) -> Counts:
        """What it has done so far."""
        told = self._steer("Counts", {})
        hot = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
        calls: dict[str, int] = told["calls"]
        return Counts(
            calls=sum(count for name, count in calls.items() if name.startswith(hot)),
            all_calls=sum(calls.values()),
            delayed=told["faults"].get("delay", 0),
            cpu_seconds=_cpu_seconds(self.pid),
        )

    def _steer(self, operation: str, content: object) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.url,
            data=json.dumps(content).encode(),
            headers={"x-amz-target": f"QueueControl.{operation}"},
        )
        with urllib.request.urlopen(request, timeout=_STEER_SECONDS) as answer:  # noqa: S310 - as above  # nosec B310
            told: dict[str, Any] = json.load(answer)
        return told


def _cpu_seconds(pid: int) -> float:
    """As Linux counts them: `utime` and `stime` of proc(5), fields 14 and 15."""
    try:
        said = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    after_the_name = said.rpartition(")")[2].split()  # from field 3 on
    return (int(after_the_name[11]) + int(after_the_name[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running() -> Iterator[SteeredQueue]:
    """A queue on a free loopback port, for as long as the context lasts."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.local.queue"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None  # noqa: S101 - as it was asked for
        yield SteeredQueue(json.loads(process.stdout.readline())["url"], process.pid)
    finally:
        process.terminate()
        process.communicate()
