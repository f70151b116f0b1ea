"""The retention as it is deployed: its settings, its job and schedule, its command, the ticks."""

import shutil
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorType, TickData, TickStatus
from dagster._core.test_utils import freeze_time

import pipeline
from pipeline.cli import app
from pipeline.definitions import defs
from pipeline.errors import SettingsError
from pipeline.feeds.user_logins import FEED
from pipeline.operate.retention.settings import Retention, read_retention, setting_of
from pipeline.operate.start_up.job import monitoring_of
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import member_of
from pipeline_tests.alert_case import run as run_job
from pipeline_tests.alert_case import stored, unreachable
from pipeline_tests.outside_world import ask
from pipeline_tests.test_retention_runs import over
from pipeline_tests.world import World

DAY: Final = timedelta(days=1)
A_MINUTE: Final = timedelta(minutes=1)
FLOORS: Final = {
    "ledger_days": 28,
    "quarantine_days": 28,
    "account_days": 90,
    "audit_days": 1_096,
    "runs_days": 2,
}


class TestSettings:
    """Days, by the environment."""

    def test_without_settings_there_are_days_of_which_each_is_above_its_floor(self) -> None:
        found = read_retention({})
        assert found == Retention(35, 90, 366, 1_096, 30)
        assert all(getattr(found, name) >= floor for name, floor in FLOORS.items())

    @pytest.mark.parametrize("name", FLOORS)
    def test_each_is_set_down_to_its_floor_and_no_lower(self, name: str) -> None:
        setting, floor = setting_of(name), FLOORS[name]
        for days in (floor, floor + 1, 36_500):
            assert getattr(read_retention({setting: str(days)}), name) == days
        for text in (f"{floor - 1}", "0", "-40", "36501", "0000366", "1e3", "40.5", "forty", "٤٠"):
            with pytest.raises(SettingsError, match=f"{setting} is not a number of days"):
                read_retention({setting: text})
        assert read_retention({setting: ""}) == Retention()

    def test_no_setting_is_without_a_floor(self) -> None:
        assert {each.name for each in fields(Retention)} == set(FLOORS)


@pytest.fixture
def full(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A warehouse with something old in it, and the log-in of the scheduled run."""
    migrate(world.postgres_url, [FEED])
    ask(
        world.postgres_url,
        "INSERT INTO pipeline.ledger (feed, key, content, settled_at) VALUES"
        " ('f', 'old', '', now() - interval '36 days'), ('f', 'new', '', now())",
    )
    with member_of(world.postgres_url, "loader") as url:
        monkeypatch.setenv("PIPELINE_POSTGRES_URL", url)
        yield world


def test_the_job_deletes_counts_and_tells(full: World, instance: dg.DagsterInstance) -> None:
    with freeze_time(datetime.now(UTC) - 31 * DAY):
        old = run_job(instance, "ingest_user_logins")
    young = run_job(instance, "ingest_user_logins")

    result = defs().resolve_job_def("retention").execute_in_process(instance=instance)

    assert result.success
    (output,) = [event for event in result.all_events if event.is_successful_output]
    metadata = output.step_output_data.metadata
    assert {name: each.value for name, each in metadata.items()} == {
        "deleted/quarantine": 0,
        "deleted/quarantine_left": 0,
        "deleted/account": 0,
        "deleted/audit": 0,
        "deleted/ledger": 1,
        "deleted/runs": 1,
        "finished": True,
    }
    assert full.query("SELECT key FROM pipeline.ledger") == [(b"new",)]
    assert set(instance.get_run_ids()) == {young, result.run_id}
    assert not instance.has_run(old)


def test_a_setting_below_its_floor_stops_the_job_before_anything_goes(
    full: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(setting_of("ledger_days"), "14")
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs().resolve_job_def("retention")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    failure = result.failure_data_for_node("prune")
    assert failure is not None
    assert "E_SETTINGS: PIPELINE_RETENTION_LEDGER_DAYS" in str(failure.error)
    assert full.query("SELECT count(*) FROM pipeline.ledger") == [(2,)]


def test_it_runs_every_day_by_itself_and_has_time() -> None:
    schedule = defs().resolve_schedule_def("retention_schedule")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "41 3 * * *"
    job = defs().resolve_job_def("retention")
    assert int(job.tags["dagster/max_runtime"]) > 3_600


def test_nothing_of_it_can_be_set_in_a_run() -> None:
    """Run config is anybody's who sees the web UI."""
    (op,) = defs().resolve_job_def("retention").all_node_defs
    assert isinstance(op, dg.OpDefinition)
    assert op.config_field is None or not op.config_field.is_required


def test_the_command_does_the_same(full: World, capsys: pytest.CaptureFixture[str]) -> None:
    app(["retention"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines() == [
        "quarantine: 0 deleted",
        "quarantine_left: 0 deleted",
        "account: 0 deleted",
        "audit: 0 deleted",
        "ledger: 1 deleted",
    ]
    assert full.query("SELECT count(*) FROM pipeline.ledger") == [(1,)]


def test_the_command_looks_after_dagsters_history_where_there_is_one(
    full: World, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert full.query("SELECT count(*) FROM pipeline.ledger") == [(2,)]
    with dg.DagsterInstance.get() as instance, freeze_time(datetime.now(UTC) - 31 * DAY):
        run_job(instance, "ingest_user_logins")
    app(["retention"], standalone_mode=False)
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "runs: 1 deleted",
        "runs: those of the command line only; --location names whose else may go",
    ]


def test_the_command_deletes_no_run_of_another_project(full: World, home: Path) -> None:
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    assert full.query("SELECT count(*) FROM pipeline.ledger") == [(2,)]

    def left() -> set[str]:
        with dg.DagsterInstance.get() as instance:
            return set(instance.get_run_ids())

    with dg.DagsterInstance.get() as instance, freeze_time(datetime.now(UTC) - 31 * DAY):
        foreign = run_job(instance, "ingest_orders")
        launched = [over(instance, "ingest_user_logins", each) for each in ("here", "there")]
    app(["retention"], standalone_mode=False)
    assert left() == {foreign, *launched}
    app(["retention", "--location", "here"], standalone_mode=False)
    assert left() == {foreign, launched[1]}


def test_ticks_are_bounded_whatever_became_of_them(home: Path) -> None:
    """By the settings of dagster.yaml, as the daemon reads them after each tick."""
    shutil.copy(Path(pipeline.__file__).parents[1] / "dagster.yaml", home)
    with dg.DagsterInstance.get() as instance:
        for kind in (InstigatorType.SENSOR, InstigatorType.SCHEDULE):
            kept = instance.get_tick_retention_settings(kind)
            assert set(kept) == set(TickStatus)
            assert all(0 < days <= 90 for days in kept.values())
            for status, days in kept.items():
                _assert_purged(instance, kind, status, days)


def test_where_ticks_are_kept_for_ever_that_is_noticed(home: Path) -> None:
    """By an instance without settings, as Dagster's own default is."""
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.get() as instance:
        assert not monitoring_of(instance).ticks_end
    shutil.copy(Path(pipeline.__file__).parents[1] / "dagster.yaml", home)
    with dg.DagsterInstance.get() as instance:
        assert monitoring_of(instance).ticks_end


def _assert_purged(
    instance: dg.DagsterInstance, kind: InstigatorType, status: TickStatus, days: int
) -> None:
    """What is younger stays, and what is older goes."""
    name, bound = f"{kind.value} {status.value}", datetime.now(UTC) - days * DAY
    failed = stored(unreachable()) if status is TickStatus.FAILURE else None
    for age in (-A_MINUTE, A_MINUTE):
        moment = (bound + age).timestamp()
        tick = TickData(
            name, name, kind, status, moment, run_ids=[], error=failed, selector_id=name
        )
        instance.create_tick(tick)
    instance.purge_ticks(name, name, before=bound.timestamp(), tick_statuses=[status])
    assert [tick.timestamp for tick in instance.get_ticks(name, name)] == [
        (bound + A_MINUTE).timestamp()
    ]
