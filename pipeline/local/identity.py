"""Decides as whom Postgres runs, since it refuses to run as root."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import LocalServiceError
from pipeline.local.binaries import QUIET

# A user namespace of its own: root keeps its files and is not called root inside.
_NAMESPACE: Final = ("unshare", "--user", "--")
_NOBODY: Final = "nobody"


@dataclass(frozen=True)
class Identity:
    """What to put before a command, and who owns the files that it then reads."""

    prefix: tuple[str, ...]
    uid: int

    def own(self, folder: Path) -> None:
        """Give a folder to this identity, where another one made it; only root ever can."""
        if os.geteuid() != 0 or folder.stat().st_uid == self.uid:
            return
        for place, _, names in os.walk(folder):
            for path in (place, *(os.path.join(place, name) for name in names)):  # noqa: PTH118 - os.walk speaks str
                os.lchown(path, self.uid, -1)


def choose_identity(postgres: Path) -> Identity:
    """This user where Postgres accepts it; else the first way round that works here.

    Postgres refuses root, and `initdb` a user id that has no name. A user namespace avoids
    both. Where containers forbid namespaces, root becomes nobody, and keeps only the right to
    pass through folders, so that nobody's server reaches a data folder in a private place.

    Raises:
        LocalServiceError: No way works.
    """
    uid = os.geteuid()
    if uid != 0 and _has_name(uid):
        return Identity((), uid)
    choices = [Identity(_NAMESPACE, uid)]
    if uid == 0:
        choices.append(_as_nobody())
    for choice in choices:
        if _works(choice, postgres):
            return choice
    raise LocalServiceError(
        "Postgres cannot run as root, nor as a user id without a name, and here is no way round",
        remedy="Run as a normal user, or give a Postgres URL",
    )


def _as_nobody() -> Identity:
    nobody = pwd.getpwnam(_NOBODY)
    prefix = (
        "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
        "--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--",
    )  # fmt: skip
    return Identity(prefix, nobody.pw_uid)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _works(identity: Identity, postgres: Path) -> bool:
    try:
        ended = subprocess.run(  # noqa: S603 - fixed commands before a Postgres that was found
            [*identity.prefix, postgres, "--version"],
            env=QUIET, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
