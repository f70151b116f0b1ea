"""The services of deploy/compose.yaml, up, for all tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.compose.tests.machine import Machine, machine


@pytest.fixture(scope="session")
def up() -> Iterator[Machine]:
    """What `docker compose up` starts, in its order, each as healthy as its own check wants it."""
    # Not under pytest's folder, into which the users of the containers cannot look.
    with tempfile.TemporaryDirectory(prefix="compose-") as name:
        Path(name).chmod(0o755)
        with machine(Path(name)) as made:
            made.up([each.name for each in made.services.values() if not each.profiles])
            yield made
