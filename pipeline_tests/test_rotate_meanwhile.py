"""Whatever goes on while a table is rotated, nothing is lost, doubled, or brought back."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pipeline.masking.keyring import Keyring
from pipeline.operate.forget import by_value, forget
from pipeline_tests.custody_case import COLUMNS, ORDERS, Desk, desk_at
from pipeline_tests.outside_world import ask
from pipeline_tests.rotate_case import (
    ANN,
    BOB,
    RENEWED,
    assert_complete,
    held_up,
    person,
    rotated,
    versions,
)
from pipeline_tests.samples import eventually

WAITING = (
    "SELECT 1 FROM pg_locks WHERE NOT granted AND database ="
    " (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_at(warehouse_url, tmp_path) as desk:
        yield desk


def test_loads_go_on_meanwhile_also_with_the_earlier_key(desk: Desk) -> None:
    """Nothing is lost, nothing doubled, and at the end everything is of the current version."""
    earlier = desk.keys.load()
    desk.load(*(person(place) for place in range(300)))
    desk.keys.add_version()

    def go_on() -> None:
        for first in range(300, 600, 20):
            keyring = earlier if first < 500 else None
            desk.load(*(person(place) for place in range(first, first + 20)), keyring=keyring)

    loads = threading.Thread(target=go_on)
    loads.start()
    while loads.is_alive():
        rotated(desk)
    loads.join()
    rotated(desk).check()
    assert_complete(desk, range(600), "v2")


def test_a_row_that_somebody_holds_is_waited_for(desk: Desk) -> None:
    desk.load(ANN, BOB)
    desk.keys.add_version()
    with held_up(desk, after=0) as waits:
        rotation = threading.Thread(target=lambda: rotated(desk))
        rotation.start()
        eventually(waits)
    rotation.join()
    assert all(versions(desk, column) == {"v2"} for column in RENEWED)


class Pausing(Keyring):
    """A keyring that does something between reading the vault and writing to it."""

    def __init__(self, roots: dict[int, bytes], before_sealing: Callable[[], None]) -> None:
        super().__init__(roots, max(roots))
        self._before_sealing = before_sealing

    def derive(self, version: int, length: int, *purpose: str) -> bytes:
        if purpose[0] == "vault" and version == self.current:
            self._before_sealing()
        return super().derive(version, length, *purpose)


@dataclass(frozen=True)
class Store:
    """A place that holds one keyring."""

    keyring: Keyring
    place: str = "a test"

    def load(self) -> Keyring:
        return self.keyring

    load_or_make = add_version = load


def test_whoever_is_forgotten_meanwhile_does_not_come_back(desk: Desk) -> None:
    """Rotation has read the vault's row, and is about to write the one that follows it."""
    roots = {1: bytes(range(64)), 2: bytes(range(1, 65))}
    first = Keyring({1: roots[1]}, 1)
    ask(desk.url, "UPDATE pipeline.keyring SET fingerprint = %s", first.fingerprint)
    desk.load(ANN, BOB, keyring=first)
    ann = by_value(ORDERS, COLUMNS["customer"], "ann@x.org", first)
    forgetting = threading.Thread(target=lambda: forget(desk.outside, ann, "request 9", "Eve"))

    def meanwhile() -> None:
        if not forgetting.ident:
            forgetting.start()
            # Either it has to wait, or it is done with all that there is.
            eventually(lambda: bool(ask(desk.url, WAITING)) or not forgetting.is_alive())

    store = Store(Pausing(roots, meanwhile))
    rotated(replace(desk, outside=replace(desk.outside, keyring=store)))
    forgetting.join()

    assert [each.partition(".")[0] for each in desk.column("customer")] == ["v2", "v2"]
    assert ask(desk.url, "SELECT count(DISTINCT subject) FROM pipeline.vault") == [(1,)]
