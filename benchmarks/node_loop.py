"""The npm package `sqs-consumer` with `pg`: installed by npm, where that is, into `.cache/`."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

NAME: Final = "sqs-consumer"
"""What the contender is called."""

_SOURCES: Final = Path(__file__).parent / "sqs_consumer"
_HOME: Final = Path(__file__).parent.parent / ".cache" / "sqs-consumer"
_FILES: Final = ("package.json", "package-lock.json", "index.mjs")


def install() -> str | None:
    """Installs the exact versions that the lock file names; why it could not, if so."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "there is no node and npm here"
    content = b"".join((_SOURCES / name).read_bytes() for name in _FILES)
    digest, complete = hashlib.sha256(content).hexdigest(), _HOME / "complete"
    if complete.exists() and complete.read_text() == digest:
        return None
    _HOME.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(_SOURCES / name, _HOME / name)
    done = subprocess.run(  # noqa: S603 - what is on the PATH
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=_HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"npm did not install it: {done.stderr[-500:]}"
    complete.write_text(digest)
    return None


def command() -> list[str]:
    """What does one task, read from standard input."""
    # Of what a coming version will ask for.
    return [_node(), "--no-warnings", str(_HOME / "index.mjs")]


def versions() -> dict[str, str]:
    """Of node, and of the packages that it asks for by name."""
    told = subprocess.run([_node(), "--version"], capture_output=True, text=True, check=True)  # noqa: S603 - as above
    asked: dict[str, str] = json.loads((_SOURCES / "package.json").read_text())["dependencies"]
    return {"node": told.stdout.strip().removeprefix("v")} | asked


def _node() -> str:
    found = shutil.which("node")
    assert found is not None  # noqa: S101 - it was found when the package was installed
    return found
