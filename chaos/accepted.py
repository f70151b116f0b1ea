"""The log of what was sent: on disk before it counts, so that no crash of ours forgets an id."""

import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from chaos.identity import Mark


class Answer(StrEnum):
    """What the sender was told of a message."""

    ACCEPTED = "accepted"  # SQS has it: it must be found
    UNSURE = "unsure"  # no answer, or a refusal that may be wrong: it may be found
    REFUSED = "refused"  # turned away for what it holds: it must not be found


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log; of people's data it holds nothing.

    Attributes:
        answer: What the sender was told.
        number: Which event; two messages of one event that differ are a conflict.
        place: The canary that stands for the user, which the table keeps.
        mark: What the message is found by.
    """

    answer: Answer
    number: int
    place: int
    mark: Mark

    def line(self) -> str:
        """As it stands in the file."""
        mark = self.mark
        named = (mark.key.hex(), mark.content.hex(), mark.quarantine.hex())
        return f"{self.answer} {self.number} {self.place} {' '.join(named)}\n"

    @classmethod
    def read(cls, line: str) -> Self:
        """The record of a line."""
        answer, number, place, *hexes = line.split()
        key, content, quarantine = map(bytes.fromhex, hexes)
        return cls(Answer(answer), int(number), int(place), Mark(key, content, quarantine))


class AcceptedLog:
    """One sender's log; `counts` lags behind the disk, never ahead of it.

    Args:
        path: A file that does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("x", encoding="ascii")
        self._lock = threading.Lock()
        self.counts: Counter[Answer] = Counter()

    def write(self, records: Sequence[Record]) -> None:
        """Puts a portion on disk, and only then counts it."""
        if not records:
            return
        with self._lock:
            self._file.write("".join(record.line() for record in records))
            self._file.flush()
            os.fsync(self._file.fileno())
            self.counts.update(record.answer for record in records)

    def close(self) -> None:
        """Ends the log."""
        self._file.close()


def read_logs(paths: Iterable[Path]) -> Iterator[Record]:
    """The records of some logs; a last line that was cut off counted nowhere, and is left out."""
    for path in paths:
        with path.open(encoding="ascii") as file:
            yield from (Record.read(line) for line in file if line.endswith("\n"))
