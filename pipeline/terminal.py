"""What the commands share: who sits at the terminal, and values that are safe to show there."""

import getpass
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import SettingsError


def who(by: str | None) -> str:
    """Who asks: the name that is given, else the user of this machine.

    Raises:
        SettingsError: The user has no name.
        AuditRefused: The name is no plain text.
    """
    from pipeline.operate.statement import check_text  # noqa: PLC0415 - late, as in pipeline.cli

    try:
        return check_text(getpass.getuser() if by is None else by)
    except (KeyError, OSError):  # a container's user may have no name
        raise SettingsError("this user has no name", remedy="Say who asks: --by NAME") from None


def printable(value: str) -> str:
    """The value without anything that a terminal would obey."""
    return "".join(
        each if each.isprintable() and each != "\\" else each.encode("unicode_escape").decode()
        for each in value
    )


@contextmanager
def written() -> Iterator[None]:
    """Around what is written to standard output: a terminal may know few characters.

    Raises:
        SettingsError: Standard output, such as a full disk, took less than all.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # What is left would be tried again at the end, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SettingsError(
            f"standard output took no more ({error.strerror})",
            remedy="Make room, and do it again; the request is done and recorded",
        ) from None
