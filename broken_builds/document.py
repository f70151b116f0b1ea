"""Writes the document of the broken builds: what each breaks, and what sees it."""

from collections.abc import Sequence
from typing import Final

from broken_builds.build import Build

DOCUMENT: Final = "docs/broken-builds.md"
"""Where it stands, from the root of the project."""

_HEAD: Final = """\
# Broken builds

A green run proves little where nothing could have made it red. So here are builds that are broken
on purpose, as somebody might break them by mistake, and for each the test that must see it.
`make broken` copies the source, makes sure that the named tests pass there, then breaks a copy for
each build, two at a time, and runs the test of each against it. It wants a failed assertion, or an
error by which the code itself refuses; for one build, which translates an error of Python's own no
more, that very error. A build that cannot be imported, or that trips over its own edit, does not
count. It ends in failure where a build survives. `make broken ARGS="NAME ..."` tries some.

The command of each is an edit of a few lines in `broken_builds/catalogue/`. Whoever changes the
lines that one replaces changes it too: `pipeline_tests/test_broken_builds.py` says so at once.
This table is written by `make broken ARGS=table`.

| build | what it does | what no longer holds | seen by |
| --- | --- | --- | --- |
"""


def render(builds: Sequence[Build]) -> str:
    """The document.

    Args:
        builds: In the order in which they are to stand there.
    """
    return _HEAD + "".join(
        f"| `{each.name}` | {each.breaks} | {each.oracle} |"
        f" `{each.test.removeprefix('pipeline_tests/')}` |\n"
        for each in builds
    )
