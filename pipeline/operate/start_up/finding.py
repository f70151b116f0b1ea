"""What a start-up check has found: what, where, and what to do."""

from dataclasses import dataclass
from typing import Literal

from pipeline.errors import PipelineError

Level = Literal["error", "warning"]
"""An error: messages will be lost, doubled or stuck, or nothing works. A warning: some day."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be; one line for a person.

    Attributes:
        level: How bad it is.
        where: The queue, the warehouse, the setting.
        what: What is so.
        remedy: What to do.
    """

    level: Level
    where: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.remedy}"


def unavailable(where: str, error: PipelineError) -> Finding:
    """The finding for what could not be looked at; an error of ours holds no value."""
    return Finding("error", where, f"{error.code}: {error.what}", error.remedy)
