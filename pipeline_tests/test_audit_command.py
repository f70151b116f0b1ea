"""`make audit`: what its search for secrets reports, and that it runs what is pinned."""

import json
import re
from pathlib import Path

import pytest

from audit.environment import REQUIREMENTS
from audit.secrets import HARMLESS, NOT_SCANNED, Finding, complaints, findings, harmless, shapes
from pipeline_tests.named_tests import ROOT

SHA1_OF_PASSWORD = "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8"  # noqa: S105 - of the word, as the tool tells it
LISTED = '[[harmless]]\nreason = "the place of one, in a URL"\nvalues = ["password"]\n'


def scanned(digest: str) -> str:
    """What the tool prints for one finding."""
    found = {"type": "Secret Keyword", "line_number": 7, "hashed_secret": digest}
    return json.dumps({"version": "1.5.0", "results": {"a.py": [found]}})


def test_a_new_finding_is_told_without_its_value() -> None:
    found = findings(scanned("f" * 40))
    assert found == [Finding("a.py", 7, "Secret Keyword", "f" * 40)]
    told = complaints(found, harmless(LISTED))
    assert told[0] == "a.py:7: Secret Keyword"


def test_what_is_listed_as_harmless_is_let_pass_wherever_it_stands() -> None:
    assert complaints(findings(scanned(SHA1_OF_PASSWORD)), harmless(LISTED)) == []


def test_what_is_listed_and_gone_is_told() -> None:
    (told,) = complaints([], harmless(LISTED))
    assert "password stands in no file any more" in told


def test_nothing_is_harmless_without_a_reason() -> None:
    with pytest.raises(ValueError, match="without a reason"):
        harmless('[[harmless]]\nreason = " "\nvalues = ["password"]\n')
    listed = HARMLESS.read_text(encoding="utf-8")
    assert harmless(listed)
    assert not any(re.search(shape, "Tr0ub4dor&3") for shape in shapes(listed))


def test_no_source_is_left_out_of_the_search() -> None:
    left_out = re.compile(NOT_SCANNED)
    for name in ("pipeline/cli.py", "deploy/compose.yaml", "docs/constraints.md", "a/secrets.txt"):
        assert not left_out.search(name)


@pytest.mark.parametrize("lock", [ROOT / "constraints.txt", REQUIREMENTS])
def test_each_pin_has_hashes(lock: Path) -> None:
    """So that what is audited is what is installed: pip takes nothing else."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)
    pins = [pin for pin in re.split(r"^(?=\S)", text, flags=re.MULTILINE) if pin]
    assert len(pins) > 30
    for pin in pins:
        assert re.match(r"[a-z0-9.-]+==\S+", pin)
        assert "--hash=sha256:" in pin
