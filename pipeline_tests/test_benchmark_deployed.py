"""What the benchmarks deploy: the project's own definitions, but for the sensors."""

from pathlib import Path

import dagster as dg
import pytest

from benchmarks import deployed, trivial
from benchmarks.launchers import WAYS
from benchmarks.told import ASKED_AT, EMPTY, LINGER, NONE, REQUEST, SENSOR, SENSORS
from pipeline.definitions import defs as project
from pipeline.resources.outside_resource import OutsideResource
from pipeline_tests.world import World


@pytest.mark.parametrize("asked", ["", NONE, EMPTY])
def test_nothing_but_sensors_is_left_out(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SENSORS, asked)
    made, ours = deployed.defs(), project()
    for part in ("assets", "asset_checks", "jobs", "schedules"):
        assert len([*getattr(made, part)]) == len([*getattr(ours, part)])
    assert (made.resources or {}).keys() == (ours.resources or {}).keys()
    assert made.executor is ours.executor


def test_empty_sensors_stand_in_the_places_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen() -> dict[str, tuple[object, ...]]:
        return {
            each.name: (each.minimum_interval_seconds, each.default_status)
            for each in deployed.defs().sensors or ()
        }

    ours = seen()
    assert SENSOR in ours
    monkeypatch.setenv(SENSORS, EMPTY)
    assert seen() == ours
    monkeypatch.setenv(SENSORS, NONE)
    assert seen() == {}


def test_an_empty_sensor_looks_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SENSORS, EMPTY)
    assert "nothing is looked at" in _tick(deployed.defs())[1]


@pytest.mark.parametrize(("linger", "runs"), [("", 0), ("60", 0), ("0", 1)])
def test_a_linger_is_what_a_single_message_waits_for(
    linger: str, runs: int, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LINGER, linger)
    world.send(["{}"])
    assert _tick(deployed.defs())[0] == runs


def _tick(definitions: dg.Definitions) -> tuple[int, str]:
    """How many runs one tick of the feed's sensor requests, and why not more."""
    sensor = definitions.resolve_sensor_def(SENSOR)
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance,
            sensor_name=SENSOR,
            definitions=definitions,
            resources={"outside": OutsideResource()},
        ) as context,
    ):
        tick = sensor.evaluate_tick(context)
    return len(tick.run_requests or ()), tick.skip_message or ""


def test_a_trivial_run_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = tmp_path / "asking"
    monkeypatch.setenv(REQUEST, str(request))
    request.write_text("12.5")
    asked = trivial.look()
    assert isinstance(asked, dg.RunRequest)
    assert asked.tags[ASKED_AT] == "12.5"
    assert isinstance(trivial.look(), dg.SkipReason)


def test_the_trivial_job_runs() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert trivial.trivial.execute_in_process(instance=instance).success


def test_dagsters_own_launcher_needs_nothing_besides(tmp_path: Path) -> None:
    with WAYS["default"](tmp_path) as way:
        assert (way.name, way.settings, way.workers, way.environment) == ("default", "", {}, {})
    assert not [*tmp_path.iterdir()]
