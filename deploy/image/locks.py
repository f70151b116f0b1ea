"""Writes what each target of the image installs: blocks of constraints.txt, word for word.

`make lock` runs it with whatever Python there is, so it needs the standard library alone, and uv.
"""

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]

# A target: the file that its own includes, and the extras that it adds to that.
TARGETS: Final[dict[str, tuple[str | None, tuple[str, ...]]]] = {
    "base": (None, ("traces",)),
    "dagster": ("base", ("metrics", "k8s")),
    "worker": ("dagster", ("celery",)),
    "rest": ("base", ("serve", "metrics")),
}
# What builds the wheel of the package, and stays out of the image.
BUILD: Final = ("setuptools",)

_NAME: Final = re.compile(r"^([a-z0-9][a-z0-9.-]*)==", re.MULTILINE)


def lineage(target: str) -> list[str]:
    """A target and those that it includes, the innermost first."""
    inner, _ = TARGETS[target]
    return [*(lineage(inner) if inner else []), target]


def extras(target: str) -> list[str]:
    """All extras of a target."""
    return [extra for step in lineage(target) for extra in TARGETS[step][1]]


def blocks(lock: str) -> dict[str, str]:
    """A lock's blocks by name: the requirement with its marker, and its hashes.

    One name has several blocks where versions differ between platforms; they stay together.
    """
    found: dict[str, str] = {}
    for block in re.split(r"^(?=\S)", lock, flags=re.MULTILINE):
        if name := _NAME.match(block):
            found[name[1]] = found.get(name[1], "") + block
    return found


def written(needed: Iterable[str], inner: str | None, lock: str) -> str:
    """A file for pip: what is needed beyond that of another target.

    Raises:
        KeyError: The lock lacks a name.
    """
    head = ["# Made from constraints.txt by `make lock`."]
    if inner:
        head.append(f"-r {inner}.txt")
    known = blocks(lock)
    return "\n".join(head) + "\n" + "".join(known[name] for name in sorted(needed))


def _resolved(target: str) -> set[str]:
    """The names of all that a target needs, on any platform, at the versions of the lock."""
    command = ["uv", "pip", "compile", "setup.py", "--universal", "--python-version", "3.11"]
    for extra in extras(target):
        command += ["--extra", extra]
    command += ["--constraints", "constraints.txt", "--no-config", "--no-emit-index-url"]
    command += ["--no-annotate", "--no-header", "--quiet"]
    out = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603 - words of this file
    return set(_NAME.findall(out))


def main() -> None:
    """Writes one file for each target, and one for the build."""
    lock = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    _write("build", written(BUILD, None, lock))
    names: dict[str | None, set[str]] = {None: set()}
    for target, (inner, _) in TARGETS.items():
        names[target] = _resolved(target)
        _write(target, written(names[target] - names[inner], inner, lock))


def _write(name: str, text: str) -> None:
    (HERE / f"{name}.txt").write_text(text, encoding="utf-8")
    sys.stdout.write(f"deploy/image/{name}.txt: {len(_NAME.findall(text))} packages\n")


if __name__ == "__main__":
    main()
