"""Files that a test adds to a folder of declarations: feeds, sources."""

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

AddFile = Callable[[str, str], None]
"""Adds a file by its name, without `.py`, and its content."""


@contextlib.contextmanager
def adding(package: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddFile]:
    """Lets files be added to a package; they are gone from it when the block ends.

    Args:
        package: The folder of declarations.
        folder: Where the files are written.
        monkeypatch: Of the test.
    """
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    added: list[str] = []

    def add(name: str, content: str) -> None:
        (folder / f"{name}.py").write_text(content)
        importlib.invalidate_caches()
        added.append(name)

    yield add
    for name in added:
        sys.modules.pop(f"{package.__name__}.{name}", None)
        vars(package).pop(name, None)
