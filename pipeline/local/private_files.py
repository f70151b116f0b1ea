"""Files and folders that only their owner can read."""

import os
from pathlib import Path

from pipeline.errors import LocalServiceError


def private_folder(folder: Path, owned_by: str) -> Path:
    """Make a folder of mode 0700, or check that one is private and ours; its resolved path.

    Args:
        folder: May exist already.
        owned_by: The name of a file that shows the folder to be one of this project's, whose
            mode may then be corrected. A stranger's folder is never touched.

    Raises:
        LocalServiceError: It belongs to somebody else, or holds other things for all to see.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        status = folder.stat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o077:
            if any(folder.iterdir()) and not (folder / owned_by).exists():
                raise LocalServiceError(
                    f"The folder {folder} of the embedded services is open to other users",
                    remedy=f"Run `chmod 700 {folder}`, or set PIPELINE_LOCAL_DIR to another one",
                )
            folder.chmod(0o700)
    except OSError as error:
        raise _unusable(folder) from error
    if status.st_uid != os.geteuid():
        raise _unusable(folder)
    return folder


def existing_folder(folder: Path) -> Path | None:
    """The resolved path of a folder, or None if there is none.

    Raises:
        LocalServiceError: It belongs to somebody else.
    """
    try:
        folder = folder.resolve(strict=True)
        if folder.stat().st_uid == os.geteuid():
            return folder
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unusable(folder) from error
    raise _unusable(folder)


def write_private(path: Path, content: bytes) -> None:
    """Put a file of mode 0600 in its place at once: readers see the old one or all of it."""
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    partial.replace(path)


def open_log(path: Path) -> int:
    """A descriptor that appends to a file of mode 0600."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def keep_small(path: Path, limit: int = 1_000_000) -> None:
    """Empty a log that has outgrown its limit in bytes; those who append to it go on."""
    if path.exists() and path.stat().st_size > limit:
        os.truncate(path, 0)


def last_lines(path: Path, count: int = 5) -> str:
    """The end of a log, on one line, for an error's text."""
    if not path.exists():
        return "(no log)"
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4_096))
        lines = file.read().decode(errors="replace").splitlines()
    return " | ".join(lines[-count:]) or "(an empty log)"


def _unusable(folder: Path) -> LocalServiceError:
    return LocalServiceError(
        f"The folder {folder} of the embedded services is not this user's to write",
        remedy="Set PIPELINE_LOCAL_DIR to a folder of your own",
    )
