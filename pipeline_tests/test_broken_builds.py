"""The broken builds fit today's source, and whoever tries them knows a kill from an accident.

That each is killed is for `make broken` to show: it takes minutes.
"""

import ast
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from broken_builds.build import Build, Edit, Oracle
from broken_builds.catalogue import CATALOGUE
from broken_builds.document import DOCUMENT, render
from broken_builds.trial import ROOT, Verdict, attempt

SOUND: Final = "VALUE = 1\n"
TEST: Final = """\
import small

def test_small() -> None:
    assert small.VALUE == 1
"""


@pytest.mark.parametrize("build", CATALOGUE, ids=lambda build: build.name)
def test_each_fits_the_source(build: Build) -> None:
    """What an edit replaces stands there once, and what comes of it is Python."""
    texts = build.broken(ROOT)
    assert all(text != (ROOT / file).read_text("utf-8") for file, text in texts.items())


def test_the_test_of_each_exists() -> None:
    missing = [build.test for build in CATALOGUE if not is_there(build.test)]
    assert missing == []


def is_there(test: str) -> bool:
    """Whether a file has such a test."""
    file, *names = test.partition("[")[0].split("::")
    nodes: list[ast.stmt] = ast.parse((ROOT / file).read_text("utf-8")).body
    for name in names:
        found = [each for each in nodes if getattr(each, "name", "") == name]
        if len(found) != 1:
            return False
        nodes = getattr(found[0], "body", [])
    return bool(names)


def test_there_are_some_of_every_kind_and_no_two_of_a_name() -> None:
    assert len(CATALOGUE) >= 30
    assert max(Counter(build.name for build in CATALOGUE).values()) == 1
    assert {build.oracle for build in CATALOGUE} == set(Oracle)


def test_the_document_tells_of_all() -> None:
    assert (ROOT / DOCUMENT).read_text("utf-8") == render(CATALOGUE)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one module and one test, and what tries it."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "broken_builds", root / "broken_builds")
    (root / "pipeline").mkdir()
    for name in ("__init__.py", "errors.py"):
        shutil.copy2(ROOT / "pipeline" / name, root / "pipeline")
    (root / "small.py").write_text(SOUND, "utf-8")
    (root / "pipeline_tests").mkdir()
    (root / "pipeline_tests" / "test_small.py").write_text(TEST, "utf-8")
    return root


BREAKING: Final = {
    "VALUE = 2\n": Verdict.KILLED,
    "VALUE = True\n": Verdict.SURVIVED,
    "VALUE = ONE\n": Verdict.STILLBORN,
    "import nowhere\n": Verdict.STILLBORN,
    "VALUE = [].pop()\n": Verdict.STILLBORN,
    "OTHER = 1\n": Verdict.STILLBORN,  # an error, and not one by which a test says no
    "raise SystemExit(1)\n": Verdict.STILLBORN,
    "VALUE = \n": Verdict.STALE,
}


def test_only_a_failed_assertion_is_a_kill(project: Path) -> None:
    def broken_by(text: str) -> Build:
        edit = Edit("small.py", SOUND, text)
        return Build.of(text, "", Oracle.ERROR, test="test_small.py", edits=(edit,))

    with ThreadPoolExecutor(2) as pool:
        trials = pool.map(lambda text: attempt(broken_by(text), project), BREAKING)
        verdicts = dict(zip(BREAKING, [trial.verdict for trial in trials], strict=True))
    assert verdicts == BREAKING


@pytest.mark.parametrize("old", ["VALUE = 3\n", "\n\n"])
def test_an_edit_that_fits_no_more_is_told(project: Path, old: str) -> None:
    edit = Edit("small.py", old, "")
    trial = attempt(
        Build.of("stale", "", Oracle.ERROR, test="test_small.py", edits=(edit,)), project
    )
    assert (trial.verdict, "small.py: found 0 times" in trial.told) == (Verdict.STALE, True)


def test_code_from_elsewhere_is_no_kill(project: Path, tmp_path: Path) -> None:
    """The sound package is installed where the tests run: it must not be what they see."""
    root = tmp_path / "project"
    shutil.copytree(project, root)
    (root / "pipeline_tests" / "test_small.py").write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nimport pipeline.contract\n"
        "def test_small():\n    assert False\n",
        "utf-8",
    )
    shutil.rmtree(root / "pipeline")
    edit = Edit("small.py", SOUND, "VALUE = 2\n")
    trial = attempt(
        Build.of("elsewhere", "", Oracle.ERROR, test="test_small.py", edits=(edit,)), root
    )
    assert trial.verdict is Verdict.STILLBORN
    assert "code from elsewhere" in trial.told
