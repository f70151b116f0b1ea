"""A bill of materials says what the lock says: no package more, none less, each with its hashes."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from deploy.image import locks, sbom


def components(target: str, folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(sbom.write(target, folder).read_text())["components"]
    return found


@pytest.mark.parametrize("target", sbom.IMAGES)
def test_bill_has_what_the_lock_has(target: str, tmp_path: Path) -> None:
    locked: dict[str, set[str]] = {}
    for step in locks.lineage(target):
        for name, block in locks.blocks((locks.HERE / f"{step}.txt").read_text()).items():
            locked[name] = set(re.findall(r"^\S+==(\S+)", block, flags=re.MULTILINE))
    found = components(target, tmp_path)
    names = [canonicalize_name(each["name"]) for each in found]
    assert len(names) == len(set(names))
    for name, each in zip(names, found, strict=True):
        assert each["version"] in locked[name]
        assert each["purl"].startswith(f"pkg:pypi/{name}@{each['version']}")
        hashes = {held["content"] for link in each["externalReferences"] for held in link["hashes"]}
        lock = (locks.ROOT / "constraints.txt").read_text()
        assert hashes <= set(re.findall(r"sha256:([0-9a-f]{64})", locks.blocks(lock)[name]))
        assert hashes
    assert set(locked) - set(names) <= {
        "async-timeout",  # for Python before 3.11.3
        "colorama",  # for Windows, as those below
        "pyreadline3",
        "pywin32",
    }


def test_bill_is_the_same_whenever_it_is_made(tmp_path: Path) -> None:
    first = sbom.write("rest", tmp_path).read_bytes()
    assert sbom.write("rest", tmp_path).read_bytes() == first


def test_web_framework_is_on_the_rest_image_alone(tmp_path: Path) -> None:
    having = {
        target
        for target in sbom.IMAGES
        if "fastapi" in {each["name"] for each in components(target, tmp_path)}
    }
    assert having == {"rest"}
