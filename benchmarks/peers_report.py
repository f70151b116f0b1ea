"""Figures of contenders side by side: as a table in Markdown, and as JSON with all around them."""

import statistics
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Final

from benchmarks import node_loop
from chaos.machine import describe

_PACKAGES: Final = ("boto3", "pandas", "psycopg", "psycopg2-binary", "pycurl")
_HEAD: Final = """\
| contender | answer time | messages/s | ours to it | CPU s per million | of a core \
| the queue's | calls a message | peak MiB |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured of a contender in one round, or the medians over some.

    Attributes:
        contender: Which.
        delay_ms: Milliseconds after which the queue answered; None where nobody asked it.
        messages: That were moved.
        rate: Messages a second.
        cpu_seconds: Of the client, for a million messages.
        share: Of one core, that the client took.
        queue_share: Of one core, that the queue took; 0 where it cannot be told.
        calls: Receives, deletes and changes of visibility for each message.
        peak_mib: The most memory that the client had, with all that it imports.
    """

    contender: str
    delay_ms: float | None
    messages: int
    rate: float
    cpu_seconds: float
    share: float
    queue_share: float
    calls: float
    peak_mib: float

    def line(self) -> str:
        """One round, for whoever watches."""
        return (
            f"{self.contender:<14} {_delay(self.delay_ms):>6}   {self.rate:9,.0f} messages/s   "
            f"{self.cpu_seconds:8,.1f} CPU s per million   {self.share:5.0%} of a core"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All rounds, and what they were made with.

    Attributes:
        postgres: The server's version.
        settings: What was asked for.
        rounds: Of each contender at each answer time, in the order in which they were run.
    """

    postgres: str
    settings: dict[str, object]
    rounds: tuple[Figures, ...]

    def markdown(self) -> str:
        """Machine, versions and the medians."""
        versions = [f"{name} {what}" for name, what in self._versions().items()]
        medians = self._medians()
        ours = {each.delay_ms: each.rate for each in medians if each.contender == "ours"}
        lines = [_row(each, ours.get(each.delay_ms)) for each in medians]
        return "\n".join([", ".join([describe(), *versions]), "", _HEAD, *lines])

    def as_json(self) -> dict[str, object]:
        """All of it, for a file."""
        return {
            "machine": describe(),
            "versions": self._versions(),
            "command": f"make bench ARGS={' '.join(sys.argv[1:])!r}",
            "settings": self.settings,
            "medians": [asdict(each) for each in self._medians()],
            "rounds": [asdict(each) for each in self.rounds],
        }

    def _versions(self) -> dict[str, str]:
        found = {"Postgres": self.postgres}  # that of Python is told with the machine
        found |= {name: version(name) for name in _PACKAGES}
        if any(each.contender == node_loop.NAME for each in self.rounds):
            found |= node_loop.versions()
        return found

    def _medians(self) -> list[Figures]:
        groups: dict[tuple[float | None, str], list[Figures]] = {}
        for each in self.rounds:
            groups.setdefault((each.delay_ms, each.contender), []).append(each)
        return list(map(_median, groups.values()))


def _median(rounds: list[Figures]) -> Figures:
    """Of each figure by itself."""
    first = rounds[0]
    return Figures(
        contender=first.contender,
        delay_ms=first.delay_ms,
        messages=first.messages,
        rate=statistics.median(each.rate for each in rounds),
        cpu_seconds=statistics.median(each.cpu_seconds for each in rounds),
        share=statistics.median(each.share for each in rounds),
        queue_share=statistics.median(each.queue_share for each in rounds),
        calls=statistics.median(each.calls for each in rounds),
        peak_mib=max(each.peak_mib for each in rounds),
    )


def _row(each: Figures, ours: float | None) -> str:
    cells = [
        each.contender,
        _delay(each.delay_ms),
        f"{each.rate:,.0f}",
        "" if ours is None or each.contender == "ours" else f"{ours / each.rate:.2f}",
        f"{each.cpu_seconds:,.1f}",
        f"{each.share:.0%}",
        f"{each.queue_share:.0%}" if each.queue_share else "",
        "" if each.delay_ms is None else f"{each.calls:.2f}",
        f"{each.peak_mib:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def _delay(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:g} ms"
