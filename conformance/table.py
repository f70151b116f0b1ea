"""The table of docs/conformance.md: every case, and who does what in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pipeline_tests.sqs_case import Case, Cases, Need

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "conformance.md"

BEGIN: Final = "<!-- Written by `make conformance ARGS=table`: change the cases, not this. -->\n"

_GROUPS_HEAD = """\
| group | cases | embedded | moto | LocalStack | AWS |
| --- | --- | --- | --- | --- | --- |
"""

_LOCAL: Final = ("embedded", "moto", "localstack")
_SAME: Final = "same"
_NOT_RUN: Final = "not run"
_SHORT: Final = {"sqs": "SQS", "url": "URL"}
_HEAD = """\
| SQS | says | embedded | moto | LocalStack | AWS |
| --- | --- | --- | --- | --- | --- |
"""


def table(groups: Mapping[str, Cases]) -> str:
    """The groups and then the cases of each, as Markdown."""
    parts = [f"\n{_GROUPS_HEAD}", *(_sum(title, cases) for title, cases in groups.items())]
    for title, cases in groups.items():
        rows = "".join(_row(name, case) for name, case in cases.items())
        parts.append(f"\n### {title}\n\n{_HEAD}{rows}")
    return "".join(parts)


def with_table(document: str, groups: Mapping[str, Cases]) -> str:
    """A document with the table as the cases have it now, in the place of what it had."""
    return document.partition(BEGIN)[0] + BEGIN + table(groups)


def _sum(title: str, cases: Cases) -> str:
    cells = [title, str(len(cases)), *(_sum_of(cases, each) for each in _LOCAL)]
    on_aws = sum(not case.needs for case in cases.values())
    return f"| {' | '.join([*cells, f'{on_aws} run'])} |\n"


def _sum_of(cases: Cases, implementation: str) -> str:
    cells = [_cell(case, implementation) for case in cases.values()]
    differing = sum(cell not in {_SAME, _NOT_RUN} for cell in cells)
    same = f"{cells.count(_SAME)} same"
    return f"{same}, **{differing} differ**" if differing else same


def _row(name: str, case: Case) -> str:
    cells = [_sentence(name), case.source, *(_cell(case, each) for each in _LOCAL)]
    return f"| {' | '.join([*cells, 'left out' if case.needs else 'run'])} |\n"


def _sentence(name: str) -> str:
    words = name.split("_")
    return " ".join([words[0].capitalize(), *(_SHORT.get(word, word) for word in words[1:])])


def _cell(case: Case, implementation: str) -> str:
    if Need.CLOCK in case.needs and implementation != "embedded":
        return _NOT_RUN
    deviation = case.deviations.get(implementation)
    return f"**{deviation.how}**" if deviation else _SAME
