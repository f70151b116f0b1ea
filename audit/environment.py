"""The tools of the audit, in an environment of their own: nobody else has to install them."""

import hashlib
import subprocess
import sys
from pathlib import Path

from pipeline.errors import LocalServiceError

ROOT = Path(__file__).parents[1]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_HOME = ROOT / ".cache" / "audit"


def tools() -> Path:
    """The folder of their programs; made the first time, and when the pins change.

    Raises:
        LocalServiceError: They cannot be installed.
    """
    programs, complete = _HOME / "bin", _HOME / "complete"
    state = hashlib.sha256(str(_HOME).encode() + REQUIREMENTS.read_bytes()).hexdigest()
    if complete.exists() and complete.read_text() == state:
        return programs
    _do([sys.executable, "-m", "venv", "--clear", str(_HOME)])
    pip = [str(programs / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    _do([*pip, "--no-deps", "--require-hashes", "--requirement", str(REQUIREMENTS)])
    complete.write_text(state)
    return programs


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
    if done.returncode:
        raise LocalServiceError(
            f"the tools of the audit could not be installed: {done.stderr[-1000:]}",
            remedy="Look at what pip says; the network is needed the first time",
        )
