"""Locks on files, which the kernel drops however their holder dies, and proofs of who holds."""

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pipeline.errors import LocalServiceError

PAUSE: Final = 0.02
"""Seconds between two looks at something that cannot be waited for."""


def try_lock(path: Path) -> int | None:
    """The descriptor of an exclusive lock, or None while anyone else has a lock.

    The lock lasts until the descriptor, and every copy of it in other processes, is closed.
    """
    return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)


def share_lock(path: Path) -> int:
    """The descriptor of a shared lock; waits while somebody probes with an exclusive one."""
    descriptor = _lock(path, fcntl.LOCK_SH)
    assert descriptor is not None  # noqa: S101 - only an attempt without waiting gives None
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether some process has an exclusive lock."""
    if not path.exists():
        return False
    descriptor = _lock(path, fcntl.LOCK_SH | fcntl.LOCK_NB)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def wait_for_lock(path: Path, seconds: float) -> int | None:
    """As `try_lock`, trying again for some seconds."""
    deadline = time.monotonic() + seconds
    while (descriptor := try_lock(path)) is None and time.monotonic() < deadline:
        time.sleep(PAUSE)
    return descriptor


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Hold an exclusive lock for a block.

    Raises:
        LocalServiceError: Others kept it for longer than that.
    """
    descriptor = wait_for_lock(path, seconds)
    if descriptor is None:
        raise LocalServiceError(
            f"Another process has held {path.name} for {seconds:.0f} s",
            remedy="Stop the services and try again",
        )
    try:
        yield
    finally:
        os.close(descriptor)


def is_named(descriptor: int, path: Path) -> bool:
    """Whether a path still leads to the file that is locked: somebody may have deleted it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def write_pid(descriptor: int, pid: int) -> None:
    """Note in a lock's file who has the lock."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{pid}\n".encode(), 0)


def read_pid(path: Path, words: str) -> int | None:
    """The process noted in a lock's file, if its command line has certain words.

    A process id may have passed to a stranger since it was written; no signal may reach one.
    """
    try:
        pid = int(path.read_text())
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and words in _command_line(pid) else None


def signal_holder(path: Path, words: str, order: signal.Signals) -> None:
    """Send a signal to the process that `read_pid` names, if there is one."""
    holder = read_pid(path, words)
    if holder is not None:
        with suppress(ProcessLookupError):
            os.kill(holder, order)


def _lock(path: Path, operation: int) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


def _command_line(pid: int) -> str:
    if Path("/proc/self/cmdline").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(  # noqa: S603 - a number of ours
        ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return shown.stdout
