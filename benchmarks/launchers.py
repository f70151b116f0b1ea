"""How Dagster's runs get a process: by the code server, or in workers that wait for them.

A way is a context manager over a folder. `default` is Dagster's own: a new process for each run,
which imports everything first. To add one, add a function and its name below; nothing else here
knows how runs are launched.
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from chaos.place import HOST, free_port
from chaos.processes import Process

_PIPELINE: Final = Path(sys.executable).parent / "pipeline"
_AT_A_TIME: Final = "3"  # as many runs as the project's dagster.yaml has places for
_WARM: Final = """\
run_launcher:
  module: pipeline.warm.launcher
  class: WarmRunLauncher
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """A way to launch runs, ready to be used.

    Attributes:
        name: As one asks for it.
        settings: What `dagster.yaml` says of it.
        workers: Commands of the processes that run beside daemon and code servers, by name.
        environment: What all processes of the instance are told besides.
    """

    name: str
    settings: str = ""
    workers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


Way = Callable[[Path], AbstractContextManager[Launcher]]
"""Starts what a launcher needs besides, such as a broker, in a folder; ends it afterwards."""


@contextmanager
def _default(_folder: Path) -> Iterator[Launcher]:
    yield Launcher(name="default")


@contextmanager
def _celery(folder: Path) -> Iterator[Launcher]:
    """Warm workers: as many runs at a time as the instance allows, over a Redis of their own."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("--launcher celery wants redis-server, which is not installed")
    port = free_port()
    where = ["--bind", HOST, "--port", str(port), "--dir", str(folder)]
    nothing_kept = ["--save", "", "--appendonly", "no"]
    redis = Process([program, *where, *nothing_kept], {}, folder, folder / "redis")
    redis.start()
    try:
        yield Launcher(
            name="celery",
            settings=_WARM,
            workers={"worker": (str(_PIPELINE), "worker", "--concurrency", _AT_A_TIME)},
            environment={"PIPELINE_CELERY_BROKER": f"redis://{HOST}:{port}/0"},
        )
    finally:
        redis.end()


WAYS: Final[Mapping[str, Way]] = {"default": _default, "celery": _celery}
"""Every way, by its name."""


def _known(name: str) -> str:
    if name not in WAYS:
        raise typer.BadParameter(f"one of {', '.join(WAYS)}")
    return name


LauncherName = Annotated[
    str, typer.Option(callback=_known, help=f"How runs get a process: {', '.join(WAYS)}.")
]
"""An option of a benchmark."""
