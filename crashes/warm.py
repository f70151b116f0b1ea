"""A process that has imported everything a run needs, and becomes a run worker as often as asked.

Each line of its input is an order in JSON, each answered with one line:
`{"start": [arguments], "environment": {...}, "said": path}` forks a child that executes the
command `dagster` with these arguments, and answers its pid; `{"wait": pid}` answers what became of
it, as `os.waitpid` tells. It ends with its input, and so do its children.
"""

import gc
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Final

# What a run worker imports between its start and its first op. No threads come of it: a fork
# takes along only the one that it is made in.
import pandas as pd  # noqa: F401 - the pipeline imports it late, and so each fork would
from dagster._cli import create_dagster_cli

import crashes.deployed  # noqa: F401 - what the run executes
from crashes.tick import tick

# Its children end as every Python process does: threads are waited for, exit handlers called.
_FORKS: Final = multiprocessing.get_context("fork")


def _become(arguments: Sequence[str], environment: Mapping[str, str], said: str) -> None:
    """The command `dagster`, in the child; raises SystemExit."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (1, 2):
        os.dup2(os.open(said, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(environment)
    command = create_dagster_cli()  # type: ignore[no-untyped-call] # it has no annotations
    command.add_command(tick)
    command.main(args=list(arguments), prog_name="dagster")


def _main() -> None:
    gc.freeze()  # or each child's collector would make copies of all these pages
    for line in sys.stdin:
        order = json.loads(line)
        if "start" in order:
            child = _FORKS.Process(
                target=_become, args=(order["start"], order["environment"], order["said"])
            )
            child.start()
            answer = child.pid
        else:
            answer = os.waitpid(order["wait"], os.WUNTRACED)[1]
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main()
