"""Writes a bill of materials (CycloneDX, JSON) for each target of the image: `make sbom`.

It lists what pip installs there by the locks, for Linux and Python 3.11. Debian's packages of the
base are not in it: a scanner of the built image finds them.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from deploy.image import locks

IMAGES: Final = ("dagster", "worker", "rest")
VERSION: Final = "1.6"
# The base image's. The processor decides nothing in the locks but the file that pip takes.
PLATFORM: Final = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "python_full_version": "3.11.14",
    "python_version": "3.11",
    "sys_platform": "linux",
}


def requirements(target: str) -> str:
    """What pip takes of the locks of a target: without other platforms, with hashes."""
    taken = []
    for step in locks.lineage(target):
        for block in locks.blocks((locks.HERE / f"{step}.txt").read_text()).values():
            # A name with two versions, for two platforms, is two requirements in one block.
            taken += [each for each in re.split(r"^(?=\S)", block, flags=re.MULTILINE) if each]
    return "".join(each for each in taken if _holds(each))


def _holds(block: str) -> bool:
    requirement = Requirement(block.split("\\", 1)[0])
    return requirement.marker is None or requirement.marker.evaluate(dict(PLATFORM))


def write(target: str, folder: Path) -> Path:
    """Writes the bill of one target, checked against CycloneDX's schema.

    Raises:
        CalledProcessError: It could not be made.
    """
    file = folder / f"{target}.cdx.json"
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "-"]
    command += ["--spec-version", VERSION, "--output-format", "JSON", "--output-file", str(file)]
    command += ["--output-reproducible", "--validate"]
    subprocess.run(command, input=requirements(target), text=True, check=True)  # noqa: S603 - words of this file
    return file


def main() -> None:
    """Writes all of them into a folder, `build/sbom` if none is named."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else locks.ROOT / "build" / "sbom"
    folder.mkdir(parents=True, exist_ok=True)
    for target in IMAGES:
        sys.stdout.write(f"{write(target, folder)}\n")


if __name__ == "__main__":
    main()
