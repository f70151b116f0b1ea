"""The misbehaving queue as a process of its own, for tests, chaos and benchmarks.

Started as `python -m pipeline.local.queue`. When it answers it prints one line of JSON, with its
`url` and its `pid`. It is steered over the same port: a POST with the header `x-amz-target:
QueueControl.SetRules`, `.AdvanceClock` or `.Counts`, whose bodies are the structures of
`pipeline.local.queue.control`.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from pipeline.errors import LocalServiceError
from pipeline.local.private_files import write_private
from pipeline.local.queue.clock import ManualClock
from pipeline.local.queue.faults import Rule
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueServer, create_app
from pipeline.local.queue.witness import Witness

_HOST: Final = "127.0.0.1"


def main(arguments: Sequence[str] | None = None, witness: Witness | None = None) -> int:
    """Serve until a signal asks for the end; the exit status.

    Args:
        arguments: Of the command line, without the program's name; else the process's own.
        witness: Who sees each delete before it is done. Its findings are part of `Counts`.
    """
    settings = _parser().parse_args(arguments)
    try:
        misbehaviour = Misbehaviour(read_rules(settings.rules), settings.seed)
        queues = _load(settings.snapshot, ManualClock(_base(settings.standing_still)))
    except LocalServiceError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit_once)
    try:
        _serve(QueueServer(create_app(queues, misbehaviour, witness)), settings.port)
    finally:
        if settings.snapshot is not None:
            write_private(settings.snapshot, queues.to_snapshot())
    return 0


def read_rules(path: Path | None) -> list[Rule]:
    """The rules in a file: a JSON list; none without a file.

    Raises:
        LocalServiceError: It cannot be read, or a rule cannot be meant so; says which.
    """
    if path is None:
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Rule])
    except OSError as error:
        what = f"The file of rules cannot be read: {error.strerror}"
    except msgspec.DecodeError as error:
        what = f"A rule of the queue is not well-formed: {error}"
    raise LocalServiceError(what, remedy="See pipeline/local/queue/faults.py") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.local.queue", description="Serve SQS, and misbehave by rules."
    )
    parser.add_argument("--port", type=int, default=0, help="0 for any that is free")
    parser.add_argument("--seed", type=int, default=0, help="of the rules' chance")
    parser.add_argument("--rules", type=Path, help="JSON: a list of rules")
    parser.add_argument("--snapshot", type=Path, help="begin with this, and keep it at the end")
    parser.add_argument(
        "--standing-still",
        type=float,
        metavar="MOMENT",
        help="let the clock stand at these seconds since the epoch until it is advanced",
    )
    return parser


def _base(moment: float | None) -> float | Callable[[], float]:
    return time.time if moment is None else moment


def _load(snapshot: Path | None, clock: ManualClock) -> Queues:
    rng = random.SystemRandom()
    if snapshot is not None and snapshot.exists():
        return Queues.from_snapshot(snapshot.read_bytes(), clock=clock, rng=rng)
    return Queues(clock=clock, rng=rng)


def _serve(server: QueueServer, port: int) -> None:
    """Listen on loopback, say where, and serve."""
    with (
        socket.create_server((_HOST, port)) as listener,
        asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner,
    ):
        # The listener keeps connections in line from now on.
        url = f"http://{_HOST}:{listener.getsockname()[1]}"
        print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)  # noqa: T201 - as above
        runner.run(server.serve(sockets=[listener]))


def _exit_once(*_: object) -> NoReturn:
    """End in good order; further signals do not disturb that."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)
