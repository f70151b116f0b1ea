"""What a runbook tells somebody to type: each statement runs, each command and option is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import typer.main
from typer.core import TyperGroup

from pipeline import cli
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import member_of
from pipeline_tests.metrics_case import FEEDS
from pipeline_tests.outside_world import ask

RUNBOOKS: Final = Path(__file__).parents[1] / "docs" / "runbooks"
_SQL: Final = re.compile(r"^( *)```sql\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_TYPED: Final = re.compile(r"^ +(pipeline [^#|>\n]+)", re.MULTILINE)
_INLINE: Final = re.compile(r"`(pipeline [a-z][^`…]*)[`…]")


def pages() -> Iterator[tuple[str, str]]:
    """The name and text of each page."""
    for page in sorted(RUNBOOKS.glob("*.md")):
        yield page.name, page.read_text(encoding="utf-8")


def test_every_statement_runs_with_the_rights_of_a_monitor(warehouse_url: str) -> None:
    migrate(warehouse_url, FEEDS)
    ran = 0
    with member_of(warehouse_url, "monitor") as url:
        for name, text in pages():
            for _, block in _SQL.findall(text):
                for statement in filter(str.strip, block.split(";\n")):
                    said = statement.replace("FEED", "user_logins").rstrip().rstrip(";")
                    assert ask(url, said) is not None, name
                    ran += 1
    assert ran > 8


def test_every_command_is_there_with_its_options() -> None:
    root = typer.main.get_command(cli.app)
    asked = 0
    for name, text in pages():
        for found in [*_TYPED.findall(text), *_INLINE.findall(text)]:
            words = shlex.split(found.replace("\n", " "))[1:]
            command = root
            while isinstance(command, TyperGroup):
                if not words:  # a family of commands, named as such
                    break
                assert words[0] in command.commands, (name, found)
                command = command.commands[words.pop(0)]
            options = {each for known in command.params for each in known.opts}
            assert {each for each in words if each.startswith("--")} <= options, (name, found)
            asked += 1
    assert asked > 40
