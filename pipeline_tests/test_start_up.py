"""The start-up checks against a real queue, a real Postgres and a key file."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import dagster as dg
import psycopg
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.consume.readiness import check_sink
from pipeline.definitions import defs
from pipeline.errors import WrongEnvironment
from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline.operate.start_up.check import check
from pipeline.operate.start_up.warehouse import FREE
from pipeline.resources.outside import Outside
from pipeline.resources.settings import ENVIRONMENT
from pipeline_tests.access_case import member_of
from pipeline_tests.dead_letter_case import LETTERS, with_dead_letters
from pipeline_tests.outside_world import ask, unused_port
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import World, admit

OTHER: Final = find("messages").queue  # of another feed, and not there
SOUND: Final = {"MessageRetentionPeriod": "1209600", "SqsManagedSseEnabled": "true"}

HOOK: Final = {"PIPELINE_ALERT_WEBHOOK_URL": "http://127.0.0.1/hook"}


def found(world: World, **settings: str) -> list[str]:
    """What is found about the logins, with some settings more."""
    environment: Mapping[str, str] = {**world.environment, **HOOK, **settings}
    return [
        f"{each.level}: {each}"
        for each in check(environment, Outside.of(environment), [USER_LOGINS])
    ]


@pytest.fixture
def sound(world: World) -> World:
    """A world in which nothing is amiss."""
    with_dead_letters(world, maxReceiveCount=20)
    letters = world.sqs.get_queue_url(QueueName=LETTERS)["QueueUrl"]
    for url in (world.queue_url, letters):
        world.sqs.set_queue_attributes(QueueUrl=url, Attributes=SOUND)  # type: ignore[arg-type]
    check_sink(USER_LOGINS, url=world.postgres_url, keyring=KeyFile(world.keyring))
    return world


def test_where_all_is_sound_nothing_is_said(sound: World) -> None:
    assert found(sound) == []


def test_nothing_is_received_and_nothing_is_made(world: World) -> None:
    world.send(["{}"])
    assert found(world) != []
    assert world.app.calls["ReceiveMessage"] == 0
    assert world.query("SELECT FROM pg_namespace WHERE nspname = 'pipeline'") == []
    assert not world.keyring.exists()


def test_a_new_deployment_is_told_what_it_lacks(world: World) -> None:
    lines = found(world)
    for words in (
        "warning: warehouse: it has no tables yet",
        "warning: keyring: ",
        "error: queue login-queue: has no redrive policy",
        "warning: queue login-queue: drops messages after 4 days",
    ):
        assert any(line.startswith(words) for line in lines), lines


def test_an_outage_of_one_hides_nothing_of_the_other(world: World) -> None:
    with unused_port() as port:
        lines = found(world, PIPELINE_POSTGRES_URL=f"postgresql://u@127.0.0.1:{port}/d")
    assert lines[0].startswith("error: warehouse: E_WAREHOUSE_UNAVAILABLE")
    assert any("has no redrive policy" in line for line in lines)


def test_a_queue_that_is_not_there_is_named(world: World) -> None:
    world.sqs.delete_queue(QueueUrl=world.queue_url)
    assert any("error: queue login-queue: E_QUEUE_MISSING" in line for line in found(world))


def test_a_dead_letter_queue_that_is_gone_or_closed_hides_nothing(sound: World) -> None:
    short: dict[str, str] = {"MessageRetentionPeriod": "345600"}
    sound.sqs.set_queue_attributes(QueueUrl=sound.queue_url, Attributes=short)  # type: ignore[arg-type]
    sound.sqs.tag_queue(QueueUrl=sound.queue_url, Tags={"environment": "prod"})

    def look() -> None:
        letters, *others = found(sound, PIPELINE_ENVIRONMENT="staging")
        assert letters.startswith(f"error: dead-letter queue {LETTERS}: E_QUEUE")
        assert f"queue {LETTERS!r}" in letters
        assert "queue login-queue: drops messages after 4 days" in others[0]
        assert "is tagged environment='prod'" in others[1]

    with sound.app.gate("GetQueueAttributes", 2) as gate:
        sound.app.let_fail(gate)
        look()
    letters = sound.sqs.get_queue_url(QueueName=LETTERS)["QueueUrl"]
    sound.sqs.delete_queue(QueueUrl=letters)
    look()


def test_a_retention_that_is_set_wrongly_hides_no_queue(sound: World) -> None:
    short: dict[str, str] = {"MessageRetentionPeriod": "345600"}
    sound.sqs.set_queue_attributes(QueueUrl=sound.queue_url, Attributes=short)  # type: ignore[arg-type]
    lines = found(sound, PIPELINE_RETENTION_AUDIT_DAYS="30")
    assert lines[0].startswith("error: settings: E_SETTINGS: PIPELINE_RETENTION_AUDIT_DAYS")
    assert "queue login-queue: drops messages after 4 days" in lines[1]


def test_alerts_that_reach_nobody_are_told_of(sound: World) -> None:
    (line,) = found(sound, PIPELINE_ALERT_WEBHOOK_URL="")
    assert line.startswith("warning: alerts: no channel is set")
    (line,) = found(sound, PIPELINE_ALERT_EMAIL_TO="typo")
    assert line.startswith("error: alerts: E_SETTINGS: PIPELINE_ALERT_EMAIL_TO given, but not")


def test_the_sessions_of_other_roles_are_counted(sound: World) -> None:
    """What they are is shown to nobody but those who may see it."""
    with (
        member_of(sound.postgres_url, "loader") as url,
        member_of(sound.postgres_url, "analyst") as another,
        psycopg.connect(url) as connection,
    ):
        (before,) = connection.execute(FREE).fetchone() or ()
        connection.rollback()
        with psycopg.connect(another), psycopg.connect(another):
            (after,) = connection.execute(FREE).fetchone() or ()
    assert before - after == 2


def test_other_versions_of_our_tables_are_told_of(sound: World) -> None:
    ask(sound.postgres_url, "UPDATE pipeline.schema_version SET version_num = '0002'")
    (line,) = found(sound)
    assert line.startswith("error: warehouse: our own tables are of version 0002")
    ask(sound.postgres_url, "UPDATE pipeline.schema_version SET version_num = '9999'")
    (line,) = found(sound)
    assert "this code knows them up to" in line


def test_a_keyring_that_is_not_the_warehouses_is_told_of(sound: World) -> None:
    """Fault 70."""
    sound.keyring.unlink()
    (line,) = found(sound)
    assert line.startswith("error: keyring: E_KEYRING")
    KeyFile(sound.keyring).load_or_make()
    (line,) = found(sound)
    assert "not the keyring that the warehouse was filled with" in line


def test_a_log_that_keeps_values_is_told_of(sound: World) -> None:
    name = sound.postgres_url.rpartition("/")[2]
    ask(sound.postgres_url, f"ALTER DATABASE {name} SET log_min_error_statement = 'error'")
    (line,) = found(sound)
    assert line.startswith("warning: warehouse: its log may keep rows and values")


def test_too_few_connections_are_told_of(sound: World) -> None:
    """Fault 48."""
    name = sound.postgres_url.rpartition("/")[2]
    ask(sound.postgres_url, f"ALTER DATABASE {name} CONNECTION LIMIT 3")
    (line,) = found(sound)
    assert line.startswith("warning: warehouse: 3 connections are left for this log-in")


def test_the_ledger_must_outlast_the_queues(sound: World) -> None:
    """Fault 53: the setting cannot be less, but for the queues it may be too little."""
    (line,) = found(sound, PIPELINE_RETENTION_LEDGER_DAYS="27")
    assert line.startswith("error: settings: E_SETTINGS")


def test_the_queue_of_another_environment_is_never_received_from(sound: World) -> None:
    """Fault 72: a run fails before it receives, and so does whatever sends."""
    sound.sqs.tag_queue(QueueUrl=sound.queue_url, Tags={"environment": "prod"})
    (line,) = found(sound, PIPELINE_ENVIRONMENT="staging")
    assert "is tagged environment='prod', this is 'staging': nothing is received" in line
    assert found(sound, PIPELINE_ENVIRONMENT="prod") == []
    (line,) = found(sound)
    assert "does not say which one it is" in line
    outside = replace(Outside.of(sound.environment), environment="staging")
    with pytest.raises(WrongEnvironment):
        outside.queue_for_a_run(USER_LOGINS)
    with pytest.raises(WrongEnvironment):
        outside.dead_letters(USER_LOGINS)


def test_a_run_takes_nothing_from_the_queue_of_another_environment(
    sound: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 72."""
    sound.send(["{}"])
    sound.sqs.tag_queue(QueueUrl=sound.queue_url, Tags={"environment": "prod"})
    monkeypatch.setenv(ENVIRONMENT, "staging")
    assert not sound.run().success
    assert sound.app.calls["ReceiveMessage"] == 0
    monkeypatch.setenv(ENVIRONMENT, "prod")
    assert sound.run().success
    assert sound.app.calls["ReceiveMessage"] > 0


def test_tags_that_cannot_be_read_stop_receives(sound: World) -> None:
    """Fault 72: it fails closed, once the environment is named."""
    outside = replace(Outside.of(sound.environment), environment="staging")
    with sound.app.gate("ListQueueTags", 1) as gate:
        sound.app.let_fail(gate)
        with pytest.raises(Exception, match="refused ListQueueTags"):
            outside.queue_for_a_run(USER_LOGINS)


def test_the_command_ends_in_failure_where_something_is_an_error(sound: World) -> None:
    done = CliRunner().invoke(app, ["check"])
    assert (done.exit_code, f"error    queue {OTHER}" in done.stdout) == (1, True)
    admit(sound.postgres_url, connections=False)
    done = CliRunner().invoke(app, ["check"])
    assert "error    warehouse: E_WAREHOUSE_UNAVAILABLE" in done.stdout
    admit(sound.postgres_url, connections=True)


@pytest.mark.usefixtures("sound")
def test_the_asset_tells_the_same_in_dagster() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs().resolve_job_def("check_start_up").execute_in_process(instance=instance)
    (verdict,) = result.get_asset_check_evaluations()
    assert (verdict.passed, verdict.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert verdict.description is not None
    assert "run monitoring is off" in verdict.description
    assert f"queue {OTHER}" in verdict.description
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in verdict.description.split()


def test_the_sensor_asks_once_after_each_start_and_once_a_day() -> None:
    sensor = defs().resolve_sensor_def("start_up_sensor")

    def tick(cursor: str | None) -> dg.SensorResult:
        with dg.build_sensor_context(cursor=cursor) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    first = tick(None)
    assert len(first.run_requests or []) == 1
    assert not tick(first.cursor).run_requests
    process, _, at = str(first.cursor).partition(" ")
    assert tick(f"{process} {float(at) - 86_401}").run_requests
    assert tick(f"another {float(at) - 601}").run_requests
    # A clock that went back: what was noted lies ahead, and for how long nobody knows.
    assert tick(f"{process} {float(at) + 86_400}").run_requests
    # Two code servers that take turns must not ask at every tick.
    assert not tick(f"another {float(at) - 60}").run_requests
