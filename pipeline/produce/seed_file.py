"""Reads events from a file: a JSON array, or one JSON value a line; either may be gzipped."""

import gzip
import json
import re
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import SeedError
from pipeline.messages import Event

# Not str.splitlines: that splits at U+2028 too, which may stand inside a JSON string.
_LINE_END = re.compile(r"\r?\n")


def read_events(path: Path) -> Iterator[Event]:
    """The events of a file (`.json` or `.jsonl`, either with `.gz`), each with a new event id.

    A line of a `.jsonl` file is sent as it stands, sound or not: to send broken messages on
    purpose is what such a file is good for.

    Raises:
        SeedError: The file is missing, of another kind, or not what its name says.
    """
    gzipped = path.suffix == ".gz"
    kind = path.with_suffix("").suffix if gzipped else path.suffix
    if kind not in {".json", ".jsonl"}:
        raise _unusable(path, "is neither .json nor .jsonl (nor either with .gz)")
    try:
        content = gzip.decompress(path.read_bytes()) if gzipped else path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise _unusable(path, f"cannot be read ({error.strerror or 'not gzipped'})") from None
    except (EOFError, UnicodeDecodeError, zlib.error) as error:
        raise _unusable(path, f"cannot be read ({type(error).__name__})") from None
    bodies = _array(path, text) if kind == ".json" else _LINE_END.split(text)
    for body in bodies:
        if body.strip():
            yield Event(str(uuid.uuid4()), body)


def _array(path: Path, text: str) -> list[str]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise _unusable(path, "is not JSON") from None
    if not isinstance(values, list):
        raise _unusable(path, "is not a JSON array")
    return [json.dumps(value) for value in values]


def _unusable(path: Path, problem: str) -> SeedError:
    return SeedError(f"{path} {problem}", remedy="Name another file; nothing was sent")
