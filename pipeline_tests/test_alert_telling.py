"""Many failures at once, and storage that cannot be read: what a channel is told, and what not."""

import time
from collections.abc import Sequence
from typing import Final

import msgspec
import pytest

from pipeline.errors import SettingsError
from pipeline.operate.alerts.alert import Alert, Standing
from pipeline.operate.alerts.failures import Failure, Kind
from pipeline.operate.alerts.misset import Misset
from pipeline.operate.alerts.settings import Settings
from pipeline.operate.alerts.state import State
from pipeline.operate.alerts.telling import MOST, QUIET_SECONDS, Turn

NOW: Final = 1_800_000_000.0


class Told:
    """A channel that keeps what it is told."""

    name = "told"

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def deliver(self, alert: Alert, link: str | None) -> None:
        """As `Channel`."""
        del link
        self.alerts.append(alert)


class Failures:
    """A `Kind` of failures that are put into it."""

    def __init__(self) -> None:
        self.found: list[Failure] = []
        self.over = False
        self.error: Exception | None = None

    def add(self, *feeds: str) -> None:
        for feed in feeds:
            alert = Alert(
                code="E_WAREHOUSE_UNAVAILABLE",
                feed=feed,
                place=f"job ingest_{feed}, step load_{feed}",
                what="w" * 120,
                remedy="r" * 180,
                at=NOW,
                run_id="0b5f6f9c-3a3d-4c59-8b8e-000000000000",
            )
            self.found.append(Failure(alert, len(self.found) + 1, f"ingest_{feed}"))

    def newest(self) -> float:
        """As `Kind`."""
        return len(self.found)

    def after(self, position: float, limit: int) -> tuple[list[Failure], float]:
        """As `Kind`."""
        if self.error is not None:
            raise self.error
        read = self.found[int(position) :][:limit]
        return read, read[-1].position if read else position

    def is_over(self, subject: str) -> bool:
        """As `Kind`."""
        assert subject
        if self.error is not None:
            raise self.error
        return self.over


class Desk:
    """A channel that is told of two kinds of failures, tick by tick; its state goes round."""

    def __init__(self) -> None:
        self.channel, self.runs, self.checks = Told(), Failures(), Failures()
        self.kinds: dict[str, Kind] = {"runs": self.runs, "checks": self.checks}
        self.state = State({"runs": 0, "checks": 0, "settings": 0})

    def tick(self, at: float = 0.0) -> Turn:
        """One tick, so many seconds after the first; the state is read and written as a cursor."""
        settings = Settings((self.channel,), warnings=False, web_url=None)
        turn = Turn(
            self.channel,
            self.state,
            self.kinds,
            settings,
            now=NOW + at,
            until=time.monotonic() + 60,
        )
        turn.work()
        self.state = msgspec.json.decode(msgspec.json.encode(self.state), type=State)
        return turn

    def heard(self) -> list[str]:
        """What was told since the last time: standing, code, how many."""
        told = [f"{each.standing} {each.code} {each.count}" for each in self.channel.alerts]
        self.channel.alerts.clear()
        return told


@pytest.fixture
def desk() -> Desk:
    return Desk()


def feeds(count: int) -> Sequence[str]:
    return [f"f{each}" for each in range(count)]


NEW: Final = "new E_WAREHOUSE_UNAVAILABLE 1"


@pytest.mark.parametrize("count", [50, 51, 200])
def test_many_that_recur_are_told_of_once(desk: Desk, count: int) -> None:
    desk.runs.add(*feeds(count))
    desk.tick()
    assert desk.heard() == [NEW] * count
    for at in (30, 60):
        desk.runs.add(*feeds(count))
        assert desk.tick(at).told == 0

    desk.tick(QUIET_SECONDS)
    heard = desk.heard()
    assert heard[:50] == ["goes on E_WAREHOUSE_UNAVAILABLE 2"] * 50
    assert heard[50:] == ([f"goes on E_MANY_FAILURES {2 * (count - 50)}"] if count > 50 else [])


def test_of_more_than_are_told_of_one_by_one_the_number_is_told(desk: Desk) -> None:
    over = 7
    desk.runs.add(*feeds(MOST + over))
    desk.tick()
    heard = desk.heard()
    assert heard == [NEW] * MOST + [f"goes on E_MANY_FAILURES {over}"]

    desk.runs.add(*feeds(MOST + over))
    desk.tick(30)
    assert desk.heard() == []
    assert len(msgspec.json.encode(desk.state)) < 250_000

    # An hour later each of the first has come again once, and nothing is told twice.
    desk.runs.over = True
    desk.tick(QUIET_SECONDS)
    assert desk.heard() == [
        *["has ended E_WAREHOUSE_UNAVAILABLE 1"] * 50,
        f"goes on E_MANY_FAILURES {MOST - 50 + over}",
    ]
    assert desk.state.repeats == {}
    desk.tick(2 * QUIET_SECONDS)
    assert desk.heard() == []


def test_all_that_there_is_is_read_in_one_tick(desk: Desk) -> None:
    """Of checks also those that pass are read: a hundred a tick would fall behind."""
    desk.checks.add(*["one"] * 450)
    desk.tick()
    assert desk.state.positions["checks"] == 450
    assert desk.heard() == [NEW]


def test_what_cannot_be_read_loses_nothing_of_what_was_told(desk: Desk) -> None:
    desk.runs.add("one")
    desk.checks.error = OSError("no such host")
    turn = desk.tick()
    assert turn.trouble == {"checks": desk.checks.error}
    assert desk.heard() == [NEW]
    assert desk.state.positions == {"runs": 1, "checks": 0, "settings": 0}

    desk.checks.error = None
    desk.checks.add("two")
    assert desk.tick(30).trouble == {}
    assert desk.heard() == [NEW]


def test_whether_it_is_over_may_be_asked_again(desk: Desk) -> None:
    desk.runs.add("one")
    desk.tick()
    desk.runs.add("one")
    desk.tick(30)
    desk.heard()
    desk.runs.error = OSError("no such host")
    assert set(desk.tick(QUIET_SECONDS).trouble) == {"runs"}
    assert desk.heard() == []
    desk.runs.error = None
    desk.tick(QUIET_SECONDS + 30)
    assert desk.heard() == ["goes on E_WAREHOUSE_UNAVAILABLE 1"]


def test_settings_that_are_wrong_are_told_once_an_hour(desk: Desk) -> None:
    wrong = [SettingsError("A is wrong", remedy="a"), SettingsError("B is wrong", remedy="b")]
    for at in range(0, int(QUIET_SECONDS) + 30, 30):
        desk.kinds = {"settings": Misset(wrong, NOW + at)}
        desk.tick(at)
    first, again = desk.channel.alerts
    assert (first.what, first.remedy) == ("A is wrong; B is wrong", "a; b")
    assert [first.standing, again.standing] == [Standing.NEW, Standing.GOES_ON]
    desk.heard()
    desk.kinds = {"settings": Misset([], NOW + 2 * QUIET_SECONDS)}
    desk.tick(2 * QUIET_SECONDS)
    assert desk.heard() == ["has ended E_SETTINGS 1"]
    desk.tick(3 * QUIET_SECONDS)
    assert desk.heard() == []
