"""The table of docs/reliability.md has a row for each fault, and each test in it is there."""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

import pytest

from pipeline_tests.named_tests import ROOT, docstrings_of, named_in

FAULTS: Final = range(1, 73)
ENOUGH: Final = 65
"""So many faults are to be covered by tests at least."""

_ROW: Final = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_NUMBERS: Final = re.compile(r"\b[Ff]aults? (\d+(?: to \d+)?(?:(?:, | and )\d+(?: to \d+)?)*)")


class Row(NamedTuple):
    """What the document says of a fault."""

    fault: int
    tests: list[tuple[str, str]]
    shown: str


def rows() -> list[Row]:
    """The rows of the table, in their order."""
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    return [Row(int(number), named_in(shown), shown) for number, *_, shown in _ROW.findall(text)]


def numbers(docstring: str | None) -> set[int]:
    """The faults that a docstring names: `Faults 16, 43 and 47 to 49`."""
    named: set[int] = set()
    for listed in _NUMBERS.findall(docstring or ""):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", listed):
            named |= set(range(int(first), int(last or first) + 1))
    return named


def named_by_tests(file: str) -> Mapping[str, set[int]]:
    """The faults that each test of a file names: in its own docstring or in one around it."""
    return {name: numbers(said) for name, said in docstrings_of(file).items()}


def test_each_fault_has_one_row() -> None:
    assert [row.fault for row in rows()] == list(FAULTS)


def test_enough_faults_are_covered_and_of_the_others_it_is_said_why() -> None:
    uncovered = [row for row in rows() if not row.tests]

    assert len(FAULTS) - len(uncovered) >= ENOUGH
    for row in uncovered:
        assert row.shown.startswith("not shown here: "), row.fault


@pytest.mark.parametrize("row", [row for row in rows() if row.tests], ids=lambda row: row.fault)
def test_the_docstrings_of_a_row_are_there_and_name_the_fault(row: Row) -> None:
    for file, name in row.tests:
        found = named_by_tests(file)
        assert name in found, f"{file} has no {name}"
        assert row.fault in found[name], f"{file}::{name} does not name fault {row.fault}"


@pytest.mark.parametrize(
    ("docstring", "named"),
    [
        ("Fault 5.", {5}),
        ("Not half a timeout later (fault 6).", {6}),
        ("Faults 16, 43, 47 to 49 and 70: more.", {16, 43, 47, 48, 49, 70}),
        ("Faulty 7; a default 8.", set()),
        (None, set()),
    ],
)
def test_numbers_are_read_from_docstrings(docstring: str | None, named: set[int]) -> None:
    assert numbers(docstring) == named
