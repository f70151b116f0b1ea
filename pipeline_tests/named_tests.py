"""The tests that a document names, as `file.py::test`: where they are, and what they say."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

_TEST: Final = re.compile(r"`([\w/-]+\.py)::(\w+)`")


def named_in(text: str) -> list[tuple[str, str]]:
    """File and name of each test that a text names."""
    return _TEST.findall(text)


def docstrings_of(file: str) -> Mapping[str, str]:
    """The tests of a file, each with its own docstring and those around it.

    Args:
        file: From the root of the project, or its name alone in `pipeline_tests`.
    """
    path = ROOT / ("" if "/" in file else "pipeline_tests") / file
    return dict(_tests(ast.parse(path.read_text(encoding="utf-8")), ""))


def _tests(around: ast.Module | ast.ClassDef, said: str) -> Iterator[tuple[str, str]]:
    said = f"{said}\n{ast.get_docstring(around) or ''}"
    for each in around.body:
        if isinstance(each, ast.ClassDef):
            yield from _tests(each, said)
        elif isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield each.name, f"{said}\n{ast.get_docstring(each) or ''}"
