"""Locks that end with their holder, and signals that reach nobody else."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.errors import LocalServiceError
from pipeline.local.locks import (
    is_locked,
    is_named,
    locked,
    read_pid,
    share_lock,
    try_lock,
    write_pid,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


@pytest.fixture
def held(path: Path) -> Iterator[int]:
    descriptor = try_lock(path)
    assert descriptor is not None
    yield descriptor
    os.close(descriptor)


@contextmanager
def cat(*words: str, close_fds: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has begun: it has answered once."""
    with subprocess.Popen(
        ["/bin/cat", "-", *words],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        close_fds=close_fds,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"?")
        assert process.stdout.read(1) == b"?"
        yield process


def test_an_exclusive_lock_is_seen_and_excludes(path: Path, held: int) -> None:
    assert is_locked(path)
    assert is_named(held, path)
    assert try_lock(path) is None


def test_looking_at_a_lock_neither_takes_nor_makes_it(path: Path) -> None:
    assert not is_locked(path)
    assert not path.exists()


def test_sharers_share_and_keep_others_out(path: Path) -> None:
    one, other = share_lock(path), share_lock(path)
    assert not is_locked(path)
    os.close(one)
    assert try_lock(path) is None
    os.close(other)
    last = try_lock(path)
    assert last is not None
    os.close(last)


def test_a_sharer_waits_while_somebody_probes(path: Path) -> None:
    probe = try_lock(path)
    assert probe is not None
    shared: list[int] = []
    thread = threading.Thread(target=lambda: shared.append(share_lock(path)))
    thread.start()
    os.close(probe)
    thread.join(20)
    assert len(shared) == 1
    os.close(shared[0])


def test_no_child_gets_a_lock_unasked(path: Path) -> None:
    descriptor = try_lock(path)
    assert descriptor is not None
    with cat(close_fds=False):
        os.close(descriptor)
        assert not is_locked(path)


def test_waiting_too_long_for_a_lock_is_a_clear_error(path: Path, held: int) -> None:
    assert is_named(held, path)
    with pytest.raises(LocalServiceError, match=r"held a\.lock"), locked(path, seconds=0.05):
        pytest.fail("Two have the lock")


def test_a_deleted_or_replaced_file_is_not_the_one_locked(path: Path, held: int) -> None:
    path.unlink()
    assert not is_named(held, path)
    path.touch()
    assert not is_named(held, path)


def test_a_process_is_known_by_its_number_and_its_words(path: Path, held: int) -> None:
    with cat("a certain word") as process:
        write_pid(held, 1_234_567_890)
        write_pid(held, process.pid)
        assert read_pid(path, "a certain word") == process.pid
        assert read_pid(path, "another word") is None
    assert read_pid(path, "a certain word") is None


@pytest.mark.parametrize("content", ["", "nonsense", "0", "1", "-1"])
def test_a_lock_without_a_process_in_it_names_nobody(path: Path, content: str) -> None:
    path.write_text(content)
    assert read_pid(path, "") is None
