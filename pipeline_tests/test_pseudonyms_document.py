"""The program that stands in docs/pseudonyms.md opens our pseudonyms and makes equal ones."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pipeline.contract import Feed, Field
from pipeline.masking.key_file import KeyFile
from pipeline.masking.mask import mask
from pipeline.masking.policies import Encrypt, Pseudonymize
from pipeline.types import FieldType, IpAddress, Text
from pipeline_tests.policy_cases import EXTREMES, batch, canonical

DOCUMENT: Final = Path(__file__).parent.parent / "docs" / "pseudonyms.md"
CASES: Final[dict[str, FieldType]] = {"text": Text(50), "address": IpAddress()}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """The program, alone in a file."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert "pipeline" not in code
    file = tmp_path / "open_pseudonyms.py"
    file.write_text(code)
    return file


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("versions", [1, 2])
def test_the_program_of_the_document_opens_our_pseudonyms_and_makes_equal_ones(
    program: Path, tmp_path: Path, name: str, versions: int
) -> None:
    store = KeyFile(tmp_path / "keyring.json")
    keyring = store.load_or_make()
    for _ in range(1, versions):
        keyring = store.add_version()
    feed = Feed(
        name="visits",
        description="One value in two columns.",
        queue="visits",
        table="visits",
        fields=(
            Field("who.it", CASES[name], Encrypt(), column="encrypted", personal=True),
            Field("who.it", CASES[name], Pseudonymize(), column="one_way", personal=True),
        ),
    )
    values = [canonical(name, raw) for raw in EXTREMES[name]]
    masked = mask(feed, batch([{"who.it": value} for value in values], feed), keyring)
    finished = subprocess.run(
        [sys.executable, "-I", str(program), str(store.path), "visits", "who.it"],
        input="\n".join(masked["encrypted"]),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    told = [json.loads(line) for line in finished.stdout.splitlines()]
    keys = keyring.field_keys("visits", "who.it")
    wanted = [Encrypt().open(each, CASES[name], keys) for each in masked["encrypted"]]
    assert told == [[*each] for each in zip(wanted, *(masked[c] for c in masked), strict=True)]
