"""What a benchmark found, with machine, versions and command: as JSON, Markdown and a picture."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Self

import typer

from benchmarks import plots
from chaos.machine import describe

_PACKAGES: Final = ("dagster", "boto3", "pandas", "psycopg", "pycurl")

Figures = dict[str, Any]
"""What was measured once, by name; plain values."""

Into = Annotated[Path | None, typer.Option(help="Write JSON, page and picture to this folder.")]
"""An option of a benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """How the figures of a benchmark are shown.

    Attributes:
        title: The heading.
        table: The figures as a table in Markdown, and what else is to be read off them.
        draw: Draws them.
        method: How they were measured, and what they leave out: some lines of Markdown.
    """

    title: str
    table: Callable[[Sequence[Figures]], str]
    draw: Callable[[Sequence[Figures]], plots.Draw]
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that is kept of a benchmark.

    Attributes:
        benchmark: Its name, which its files carry.
        command: Makes it again.
        machine: Cores, memory, system.
        versions: Of what it is made of.
        settings: What was asked for.
        figures: What was measured, in the order in which it was.
    """

    benchmark: str
    command: str
    machine: str
    versions: dict[str, str]
    settings: dict[str, Any]
    figures: list[Figures]

    @classmethod
    def of_now(
        cls, benchmark: str, settings: dict[str, Any], figures: list[Figures], *, postgres: str
    ) -> Self:
        """What was measured here and now, by this process's command."""
        return cls(
            benchmark=benchmark,
            command=f"make bench ARGS={json.dumps(' '.join(sys.argv[1:]))}",
            machine=describe(),
            versions={"Postgres": postgres} | {name: version(name) for name in _PACKAGES},
            settings=settings,
            figures=figures,
        )

    @classmethod
    def read(cls, file: Path) -> Self:
        """What was kept."""
        return cls(**json.loads(file.read_text()))

    def markdown(self, page: Page) -> str:
        """The page; its picture lies beside it."""
        versions = ", ".join(f"{name} {what}" for name, what in self.versions.items())
        settings = ", ".join(f"{name} {value}" for name, value in self.settings.items())
        return "\n\n".join(
            [
                f"# {page.title}",
                f"    {self.command}",
                f"{self.machine}, {versions}. Settings: {settings}.",
                page.table(self.figures),
                f"![{page.title}]({self.benchmark}.svg)",
                f"{page.method.strip()} [The figures as JSON]({self.benchmark}.json).\n",
            ]
        )

    def write(self, page: Page, folder: Path) -> None:
        """Writes JSON, page and picture to a folder, in place of those that are there."""
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / self.benchmark
        place.with_suffix(".json").write_text(json.dumps(asdict(self), indent=1) + "\n")
        place.with_suffix(".md").write_text(self.markdown(page))
        plots.save(page.draw(self.figures), place.with_suffix(".svg"))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; the first column on the left, the others on the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(each)} |" for each in (head, rule, *rows))
