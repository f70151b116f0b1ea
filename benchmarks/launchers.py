"""How Dagster's runs get a process: by the code server, or in workers that wait for them.

A way is a context manager over a folder. `default` is Dagster's own: a new process for each run,
which imports everything first. To add one, add a function and its name below; nothing else here
knows how runs are launched.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer


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


WAYS: Final[Mapping[str, Way]] = {"default": _default}
"""Every way, by its name."""


def _known(name: str) -> str:
    if name not in WAYS:
        raise typer.BadParameter(f"one of {', '.join(WAYS)}")
    return name


LauncherName = Annotated[
    str, typer.Option(callback=_known, help=f"How runs get a process: {', '.join(WAYS)}.")
]
"""An option of a benchmark."""
