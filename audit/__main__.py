"""Looks for known holes, doubtful code, and what nobody should have committed: `make audit`."""

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from audit.environment import REQUIREMENTS, ROOT, tools
from audit.secrets import HARMLESS, NOT_SCANNED, complaints, findings, harmless, shapes
from pipeline.errors import PipelineError

LOCKS: Final = (ROOT / "constraints.txt", REQUIREMENTS)

# Holes that are known and do not concern us: the id of the advisory, and why.
NOT_OURS: Final[Mapping[str, str]] = {}


def dependencies(programs: Path) -> bool:
    """No release that we pin has a known hole; one that could not be looked up fails as well.

    It looks at what this platform and this Python install.
    """
    ignored = [word for each in NOT_OURS for word in ("--ignore-vuln", each)]
    command = [str(programs / "pip-audit"), "--strict", "--disable-pip", "--require-hashes"]
    command += ["--progress-spinner", "off", *ignored]
    # Each by itself: a name may be pinned in both, at different versions.
    sound = [_passes([*command, "--requirement", str(lock)]) for lock in LOCKS]
    return all(sound)


def code(programs: Path) -> bool:
    """Bandit finds nothing in our code but what is marked, with a reason."""
    packages = sorted(each.parent.name for each in ROOT.glob("*/__init__.py"))
    command = [str(programs / "bandit"), "--quiet", "--configfile", str(ROOT / "pyproject.toml")]
    return _passes([*command, "--recursive", *packages])


def secrets(programs: Path) -> bool:
    """Nothing in a tracked file looks like a secret but what audit/harmless.toml explains."""
    listed = HARMLESS.read_text(encoding="utf-8")
    command = [str(programs / "detect-secrets"), "scan", "--exclude-files", NOT_SCANNED]
    command += [word for shape in shapes(listed) for word in ("--exclude-secrets", shape)]
    scanned = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - as below
    lines = complaints(findings(scanned.stdout), harmless(listed))
    print(*lines, sep="\n", end="\n" if lines else "")
    return not lines


PARTS: Final[Mapping[str, Callable[[Path], bool]]] = {
    "code": code,
    "secrets": secrets,
    "dependencies": dependencies,
}


def main(words: list[str]) -> int:
    """Run the parts that are named, or all of them: each to its end, whatever another found."""
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    parser.add_argument("part", nargs="*", help=", ".join(PARTS))
    parts = parser.parse_args(words).part or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}: {', '.join(PARTS)}")
    try:
        programs = tools()
    except PipelineError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 1
    sound = {part: PARTS[part](programs) for part in parts}
    for part, holds in sound.items():
        print(f"{part}: {'nothing found' if holds else 'NOT passed, see above'}")
    return 0 if all(sound.values()) else 1


def _passes(command: list[str]) -> bool:
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 - tools that we have installed
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
