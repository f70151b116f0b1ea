"""The templates by the schemas of AWS and what cfn-lint knows besides."""

import subprocess
import sys
from pathlib import Path

from deploy.aws.stacks import FOLDER


def lint(*paths: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_cfn_lint_finds_nothing() -> None:
    done = lint(*sorted(FOLDER.glob("*.yaml")))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_it_would_find_a_property_that_there_is_not(tmp_path: Path) -> None:
    broken = (FOLDER / "keys.yaml").read_text().replace("EnableKeyRotation", "EnableKeyRotations")
    (tmp_path / "keys.yaml").write_text(broken)
    done = lint(tmp_path / "keys.yaml")
    assert done.returncode != 0
    assert "EnableKeyRotations" in done.stdout
