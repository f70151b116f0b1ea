#!/opt/venv/bin/python -IS
"""The image's entry point: reads settings from files, then becomes the command.

`PIPELINE_POSTGRES_URL_FILE=/run/secrets/url` gives the command `PIPELINE_POSTGRES_URL`, and nobody
else. The command takes this process's place, so that signals reach it. Nothing but the standard
library is there (`-IS`): it starts in milliseconds, and no variable changes what it imports.
"""

import os
import resource
import stat
import sys
from collections.abc import Mapping
from typing import Final

# Settings of the project, and secrets of others that have no file of their own. SSL_CERT_FILE,
# AWS_WEB_IDENTITY_TOKEN_FILE and their kind are read as files by those who know them: never here.
PREFIXES: Final = ("PIPELINE_", "DAGSTER_POSTGRES_")
OTHERS: Final = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "OTEL_EXPORTER_OTLP_HEADERS",
    }
)
SUFFIX: Final = "_FILE"
# Bytes. Linux takes no longer variable (MAX_ARG_STRLEN), its name included.
LARGEST: Final = 120 * 1024
# As sysexits.h and shells have them: a setting, a command that cannot be run, one that is missing.
SETTING, NOT_RUN, NOT_FOUND = 78, 126, 127


class Refused(Exception):
    """Why the command does not start; never holds a value.

    Args:
        reason: What is the matter, and what to do.
        status: The status to exit with.
    """

    def __init__(self, reason: str, status: int = SETTING) -> None:
        super().__init__(reason)
        self.status = status


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the command: settings in place of the files that hold them.

    Raises:
        Refused: A file cannot be taken, or a setting is given twice.
    """
    found = dict(environment)
    for variable in sorted(environment):
        name = variable.removesuffix(SUFFIX)
        if name == variable or not (name.startswith(PREFIXES) or name in OTHERS):
            continue
        path = found.pop(variable)
        if not path:  # as orchestrators write what is not given
            continue
        if environment.get(name):
            raise Refused(f"{name} and {variable} are both set: unset one of them")
        found[name] = _text(variable, path)
    return found


def _text(variable: str, path: str) -> str:
    try:
        content = _content(path)
    except OSError as error:
        reason = f"{variable}: user {os.geteuid()} cannot read {path}: {error.strerror}"
        raise Refused(reason) from None
    if len(content) > LARGEST:
        raise Refused(f"{variable}: {path} is larger than {LARGEST // 1024} KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        # Without the cause, which holds the content.
        raise Refused(f"{variable}: {path} is not text in UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")  # an editor's
    if not text:
        raise Refused(f"{variable}: {path} is empty")
    if "\0" in text:
        raise Refused(f"{variable}: {path} holds a zero byte")
    return text


def _content(path: str) -> bytes:
    # A pipe that nobody writes to would wait for ever.
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no file")
        return file.read(LARGEST + 1)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def become(command: list[str], environment: dict[str, str]) -> None:
    """Replaces this process by the command, which can leave no core dump.

    Raises:
        Refused: There is no such command, or it cannot be run.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is the point
    except FileNotFoundError:
        raise Refused(f"there is no command {command[0]}", NOT_FOUND) from None
    except OSError as error:
        raise Refused(f"cannot run {command[0]}: {error.strerror}", NOT_RUN) from None


def main(command: list[str]) -> int:
    """Runs the command, or says in a line why not.

    Returns:
        The status of a command that did not start.
    """
    try:
        if not command:
            raise Refused("which command? For example: pipeline --help")
        become(command, settings(os.environ))
    except Refused as refused:
        sys.stderr.write(f"entry: {refused}\n")
        return refused.status
    raise AssertionError("exec came back")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
