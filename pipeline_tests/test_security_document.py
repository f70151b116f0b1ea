"""Each statement of docs/security.md is answered, by tests and pages that are there."""

import re
from typing import Final

import pytest

from pipeline_tests.named_tests import ROOT, docstrings_of, named_in

DOCUMENT: Final = ROOT / "docs" / "security.md"
REASONS: Final = ("not here: ", "left to the operator: ")
"""How an answer begins, or goes on, that names no test."""

_ROW: Final = re.compile(r"^\| (\d+) \| (.+?) \| (.+?) \|$", re.MULTILINE)
_LINK: Final = re.compile(r"\]\(([^)#:]*)(?:#([^)]+))?\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)

ROWS: Final = _ROW.findall(DOCUMENT.read_text(encoding="utf-8"))


def test_statements_are_numbered_and_none_is_missing() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, len(ROWS) + 1))
    assert len(ROWS) >= 100


@pytest.mark.parametrize(("number", "statement", "answer"), ROWS, ids=[row[0] for row in ROWS])
def test_what_answers_a_statement_is_there(number: str, statement: str, answer: str) -> None:
    tests, pages = named_in(answer), _LINK.findall(answer)
    assert tests or pages or any(reason in answer for reason in REASONS), (number, statement)
    for file, name in tests:
        assert name.startswith("test_")
        assert name in docstrings_of(file), f"{file} has no {name}"
    for page, heading in pages:
        path = DOCUMENT.parent / page if page else DOCUMENT
        assert path.exists(), f"{page} is not there"
        assert not heading or heading in anchors(path.read_text(encoding="utf-8")), heading


def anchors(text: str) -> set[str]:
    """The headings of a page, as links name them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(text)
    }
