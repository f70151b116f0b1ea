"""What a person does with the keyring: make it once, add a version, look; no key is told."""

import json
from pathlib import Path

import pytest

from pipeline.errors import KeyringError
from pipeline.masking.key_file import KeyFile
from pipeline.operate import keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where there is no keyring yet."""
    return tmp_path / "keys" / "keyring.json"


def test_a_keyring_is_made_once_given_versions_and_shown(path: Path) -> None:
    environment = {"PIPELINE_KEYRING": str(path)}
    made = keys.make(environment)
    assert (made.place, made.current, made.versions) == (str(path), 1, (1,))
    assert made.fingerprint == KeyFile(path).load().fingerprint.hex()
    assert keys.make(environment) == keys.show(environment) == made

    added = keys.add_version(environment)
    assert (added.current, added.versions) == (2, (1, 2))
    assert keys.show(environment) == added
    assert added.fingerprint == made.fingerprint


def test_what_is_told_of_a_keyring_holds_none_of_its_roots(path: Path) -> None:
    report = keys.make({"PIPELINE_KEYRING": str(path)})
    assert json.loads(path.read_bytes())["roots"]["1"] not in repr(report)


def test_looking_and_adding_make_no_keyring(path: Path) -> None:
    for act in (keys.show, keys.add_version):
        with pytest.raises(KeyringError, match=r"does not exist.*`pipeline keys make`"):
            act({"PIPELINE_KEYRING": str(path)})
    assert not path.exists()


def test_nothing_but_the_keyring_is_reached(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded services are not started for it."""
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(path.parent))
    assert keys.make({}).place == str(path)
    assert list(path.parent.iterdir()) == [path]
