"""What a broken build is: small edits of the source, and the test that must fail for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self


class Oracle(StrEnum):
    """What must hold, and does not hold in a broken build."""

    LOSS = "nothing is lost"
    DOUBLE = "nothing is doubled"
    COMMIT = "acknowledged only after the commit"
    PRIVACY = "no value gets out"
    ERROR = "a clear error, and in time"
    RECOVERY = "it recovers"
    ISOLATION = "one message costs only itself"
    ACCOUNT = "every message is accounted for"


class StaleEdit(Exception):
    """The source has changed since an edit was written: its old text does not stand there once."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement.

    Attributes:
        file: Which file, from the root of the project.
        old: What stands there, exactly once.
        new: What is put in its place.
    """

    file: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The text of the file, broken.

        Raises:
            StaleEdit: The old text is not there, or is there several times.
            SyntaxError: What comes of it is no Python.
        """
        if (found := text.count(self.old)) != 1:
            raise StaleEdit(f"{self.file}: found {found} times: {self.old.strip()!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True)
class Build:
    """A build that is broken on purpose.

    Attributes:
        name: Its name.
        breaks: What it does, in a sentence.
        oracle: What it breaks.
        test: The test that must fail, as pytest names it.
        edits: The edits.
        escapes: The type of a foreign error, where it is just that error that gets out.
    """

    name: str
    breaks: str
    oracle: Oracle
    test: str
    edits: tuple[Edit, ...]
    escapes: str | None = None

    @classmethod
    def of(
        cls,
        name: str,
        breaks: str,
        oracle: Oracle,
        *,
        test: str,
        edits: tuple[Edit, ...],
        escapes: str | None = None,
    ) -> Self:
        """A build whose test stands in `pipeline_tests/`."""
        return cls(name, breaks, oracle, f"pipeline_tests/{test}", edits, escapes)

    def broken(self, root: Path) -> Mapping[str, str]:
        """The text of each file that it changes.

        Args:
            root: Where the sound source is.

        Raises:
            StaleEdit: The source has changed since.
            SyntaxError: What comes of it is no Python.
        """
        texts: dict[str, str] = {}
        for edit in self.edits:
            text = texts.get(edit.file) or (root / edit.file).read_text("utf-8")
            texts[edit.file] = edit.applied(text)
        for file, text in texts.items():
            compile(text, file, "exec", dont_inherit=True)
        return texts
