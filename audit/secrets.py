"""What looks like a secret in a tracked file, and which of it is known to be none."""

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

HARMLESS: Final = Path(__file__).with_name("harmless.toml")

NOT_SCANNED: Final = r"(^|/)(constraints|[\w-]*requirements)\.txt$|\.svg$|^audit/harmless\.toml$"
"""Locks and pictures: hashes and coordinates by the thousand, none of which anybody types."""


class Finding(NamedTuple):
    """One finding of detect-secrets; the digest is that of what it found."""

    file: str
    line: int
    kind: str
    digest: str


def findings(scanned: str) -> list[Finding]:
    """What `detect-secrets scan` prints, as findings."""
    results: Mapping[str, Sequence[Mapping[str, object]]] = json.loads(scanned)["results"]
    return [
        Finding(file, int(str(each["line_number"])), str(each["type"]), str(each["hashed_secret"]))
        for file, found in results.items()
        for each in found
    ]


def harmless(text: str) -> dict[str, str]:
    """The values that are no secrets, by their digests.

    Raises:
        ValueError: Some are listed without a reason.
    """
    # As detect-secrets does; it protects nothing.
    return {
        hashlib.sha1(value.encode(), usedforsecurity=False).hexdigest(): value
        for value in _listed(text, "values")
    }


def shapes(text: str) -> list[str]:
    """Regular expressions of what no secret looks like.

    Raises:
        ValueError: Some are listed without a reason.
    """
    return list(_listed(text, "shapes"))


def _listed(text: str, name: str) -> Iterator[str]:
    for each in tomllib.loads(text)["harmless"]:
        if not each.get("reason", "").strip():
            raise ValueError(f"{HARMLESS.name} lists {each} without a reason")
        yield from each.get(name, ())


def complaints(found: Sequence[Finding], known: Mapping[str, str]) -> list[str]:
    """What is new, without its value; and what is listed and not there any more. A line each."""
    new = sorted({each for each in found if each.digest not in known})
    gone = sorted(set(known) - {each.digest for each in found})
    return [
        *(f"{each.file}:{each.line}: {each.kind}" for each in new),
        *(f"{HARMLESS.name}: {known[digest]} stands in no file any more" for digest in gone),
    ]
