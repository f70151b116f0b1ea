"""What must outlive a power cut is on the disk before it has its name."""

import os
import stat
from pathlib import Path
from typing import Final

import pytest

from pipeline.local.private_files import write_private
from pipeline.masking.key_file import KeyFile

NOT_YET: Final = 0


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """What is synced: a file or a folder, how large it is, and how large what has the name."""
    seen: list[tuple[str, int, int]] = []

    def sync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        named = tmp_path / "named"
        size = named.stat().st_size if named.exists() else NOT_YET
        if stat.S_ISDIR(status.st_mode):
            assert status.st_ino == tmp_path.stat().st_ino
            seen.append(("folder", 0, size))
        else:
            seen.append(("file", status.st_size, size))

    monkeypatch.setattr(os, "fsync", sync)
    return seen


def test_a_private_file_is_written_before_it_replaces_another(
    tmp_path: Path, synced: list[tuple[str, int, int]]
) -> None:
    write_private(tmp_path / "named", b"first")
    write_private(tmp_path / "named", b"the second")
    assert synced == [("file", 5, NOT_YET), ("file", 10, 5)]


def test_a_key_file_and_its_name_are_on_the_disk_before_it_is_used(
    tmp_path: Path, synced: list[tuple[str, int, int]]
) -> None:
    """Else values may be masked with a key that nobody has after the cut."""
    file = KeyFile(tmp_path / "named")
    file.load_or_make()
    made = file.path.stat().st_size
    file.add_version()
    longer = file.path.stat().st_size
    assert synced == [
        ("file", made, NOT_YET),
        ("folder", 0, made),
        ("file", longer, made),
        ("folder", 0, longer),
    ]
