"""Where the search for failures goes on: also after a wipe, and after a clock that ran ahead."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import freeze_time
from dagster._core.utils import make_new_run_id

from pipeline.operate.alerts.failures import Checks, Failure, Kind, Runs, Scene
from pipeline.operate.alerts.ticks import Ticks
from pipeline_tests.alert_case import Instigator, healthy, run, unreachable


@pytest.fixture
def scene(home: Path) -> Iterator[Scene]:
    """A storage in which nothing has happened yet."""
    overrides = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as instance:
        yield Scene(instance, "pipeline", ["user_logins"])


def fail(scene: Scene, job: str) -> None:
    """A run that fails, and leaves nothing but that."""
    made = scene.instance.add_run(dg.DagsterRun(job, make_new_run_id()))
    scene.instance.report_run_failed(made)


def places(found: list[Failure]) -> list[str]:
    return [each.alert.place for each in found]


def after(kind: Kind, position: float) -> tuple[list[str], float]:
    found, reached = kind.after(position, 100)
    return places(found), reached


def test_after_a_wipe_events_are_counted_anew_and_what_fails_is_found(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dagster run wipe`, on SQLite; what failed hours before that is not told again."""
    monkeypatch.setitem(healthy, "on", value=False)
    runs, checks = Runs(scene), Checks(scene, warnings=False)
    for _ in range(20):
        fail(scene, "many")
    read = runs.newest()
    assert after(runs, read) == ([], read)

    scene.instance.wipe()
    with freeze_time(datetime.now(UTC) - timedelta(hours=2)):
        fail(scene, "early")
    fail(scene, "late")
    run(scene.instance, "checked")

    found, reached = after(runs, read)
    assert found == ["job late"]
    assert reached < read
    assert after(runs, reached) == ([], reached)
    assert after(checks, 10 * read)[0] == ["asset user_logins"]


def test_where_the_latest_events_are_gone_nothing_is_told_twice(scene: Scene) -> None:
    """As by the retention, or in the web UI."""
    runs = Runs(scene)
    with freeze_time(datetime.now(UTC) - timedelta(hours=2)):
        fail(scene, "early")
    fail(scene, "late")
    read = runs.newest()
    (latest,) = scene.instance.get_run_ids(dg.RunsFilter(job_name="late"))
    scene.instance.delete_run(latest)
    found, reached = after(runs, read)
    assert (found, reached) == ([], scene.newest_event())
    fail(scene, "next")
    assert after(runs, reached)[0] == ["job next"]


def test_a_tick_of_a_clock_that_ran_ahead_silences_no_other(scene: Scene) -> None:
    """Fault 71."""
    sensor, now, ticks = Instigator(scene.instance), time.time() - 100, Ticks(scene)
    sensor.tick(now + 3_600, now + 3_600, unreachable())
    assert after(ticks, now) == ([], now)
    sensor.tick(now + 10, now + 11, unreachable())
    assert after(ticks, now) == (["sensor user_logins_sensor"], now + 11)
    # A position of that clock is taken back.
    found, reached = after(ticks, now + 3_600)
    assert (found, reached <= time.time()) == ([], True)
