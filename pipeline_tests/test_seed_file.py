"""A seed file is read as its name says, line for line and value for value, or refused."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from pipeline.errors import SeedError
from pipeline.produce.seed_file import read_events
from pipeline_tests.samples import CANARY, login

RECORDS: Final = [login(), login(locale="a\u2028b\x85c\x1ed"), login(locale=None)]
LINES: Final = [json.dumps(record, ensure_ascii=False) for record in RECORDS]
FILES: Final[dict[str, str]] = {
    "events.json": json.dumps(RECORDS, indent=2),
    "events.jsonl": "\n".join(LINES),
    "ends.jsonl": "\n".join(LINES) + "\n",
    "windows.jsonl": "\r\n".join(LINES) + "\r\n",
    "gaps.jsonl": "\n\n" + "\n \n".join(LINES),
    "named.like.this.json": json.dumps(RECORDS),
}


def plain(text: str) -> bytes:
    return text.encode()


def zipped(text: str) -> bytes:
    return gzip.compress(text.encode())


def bodies(path: Path) -> list[str]:
    return [event.body for event in read_events(path)]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("pack", "ending"), [(plain, ""), (zipped, ".gz")])
def test_a_file_gives_its_records_in_order(
    tmp_path: Path, name: str, pack: Callable[[str], bytes], ending: str
) -> None:
    path = tmp_path / f"{name}{ending}"
    path.write_bytes(pack(FILES[name]))
    assert [json.loads(body) for body in bodies(path)] == RECORDS


def test_every_event_has_an_event_id_of_its_own_and_another_one_each_time(tmp_path: Path) -> None:
    """Seeding a file twice is twice as many events."""
    path = tmp_path / "events.jsonl"
    path.write_text("\n".join([LINES[0]] * 10))
    ids = [event.event_id for _ in range(2) for event in read_events(path)]
    assert len(set(ids)) == 20


def test_a_line_is_sent_as_it_stands_sound_or_not(tmp_path: Path) -> None:
    lines = ['{"a": 1,', '{"a":1, "a":2}', "  [NaN]", '"\\ud800"', "9" * 5_000]
    path = tmp_path / "broken.jsonl"
    path.write_text("\n".join(lines))
    assert bodies(path) == lines


def test_values_of_an_array_stay_exact(tmp_path: Path) -> None:
    path = tmp_path / "events.json"
    path.write_text('[{"id": 9007199254740993, "on": true, "none": null}, 3, "\\u0000"]')
    assert bodies(path) == ['{"id": 9007199254740993, "on": true, "none": null}', "3", '"\\u0000"']


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", "[]"), ("a.jsonl", ""), ("b.jsonl", "\n")]
)
def test_an_empty_file_has_no_events(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert bodies(path) == []


WHOLE_GZIP: Final = gzip.compress(CANARY.encode() * 100)
DEEP: Final = b"[" * 100_000 + b"]" * 100_000
UNUSABLE: Final[dict[str, tuple[str, bytes | None, str]]] = {
    "missing": ("events.json", None, "cannot be read (No such file or directory)"),
    "of another kind": ("events.csv", b"", "is neither .json nor .jsonl"),
    "without an ending": ("events", b"", "is neither .json nor .jsonl"),
    "gzipped of another kind": ("events.csv.gz", b"", "is neither .json nor .jsonl"),
    "only gzipped": (".gz", b"", "is neither .json nor .jsonl"),
    "not JSON": ("events.json", CANARY.encode(), "is not JSON"),
    "cut off": ("events.json", f'["{CANARY}"'.encode(), "is not JSON"),
    "too deep": ("events.json", DEEP, "is not JSON"),
    "an object": ("events.json", f'{{"a": "{CANARY}"}}'.encode(), "is not a JSON array"),
    "not UTF-8": ("events.jsonl", b"\xff\xfe" + CANARY.encode(), "UnicodeDecodeError"),
    "not gzipped": ("events.jsonl.gz", CANARY.encode(), "cannot be read (not gzipped)"),
    "half a gzip file": ("events.jsonl.gz", WHOLE_GZIP[:-9], "cannot be read (EOFError)"),
    "a broken gzip file": (
        "events.jsonl.gz",
        WHOLE_GZIP[:10] + b"\xff" * 20 + WHOLE_GZIP[30:],
        "cannot be read (error)",
    ),
}


@pytest.mark.parametrize(("name", "content", "problem"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_file_is_refused_and_nothing_of_it_told(
    tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SeedError) as caught:
        bodies(path)
    assert problem in str(caught.value)
    assert str(path) in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.json").mkdir()
    with pytest.raises(SeedError, match="Is a directory"):
        bodies(tmp_path / "events.json")
