"""The log of what chaos sent: on disk before it counts, and read back to the last whole line."""

import errno
import os
from pathlib import Path

import pytest

from chaos.accepted import AcceptedLog, Answer, Record, read_logs
from chaos.identity import Mark

MARK = Mark(key=b"k" * 32, content=b"c" * 16, quarantine=b"q" * 32)


def records(answer: Answer, *numbers: int) -> list[Record]:
    return [Record(answer, number, 2 * number, MARK) for number in numbers]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    log = AcceptedLog(tmp_path / "log")
    written = records(Answer.ACCEPTED, 1, 2) + records(Answer.REFUSED, 3)
    log.write(written)
    log.close()
    assert list(read_logs([tmp_path / "log"])) == written


def test_a_portion_is_on_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AcceptedLog(tmp_path / "log")
    seen: list[tuple[int, int]] = []

    def synced(_descriptor: int) -> None:
        seen.append((len((tmp_path / "log").read_text().splitlines()), log.counts.total()))

    monkeypatch.setattr(os, "fsync", synced)
    log.write(records(Answer.ACCEPTED, 1, 2))
    log.write(records(Answer.UNSURE, 3))
    log.close()
    assert seen == [(2, 0), (3, 2)]
    assert log.counts == {Answer.ACCEPTED: 2, Answer.UNSURE: 1}


def test_what_the_disk_did_not_take_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AcceptedLog(tmp_path / "log")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="full"):
        log.write(records(Answer.ACCEPTED, 1))
    log.close()
    assert not log.counts


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    whole = records(Answer.ACCEPTED, 1)
    path = tmp_path / "log"
    path.write_text(whole[0].line() + whole[0].line()[:20])
    assert list(read_logs([path])) == whole
