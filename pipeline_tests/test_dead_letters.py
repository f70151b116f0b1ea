"""Dead letters are seen in Dagster and on the command line; looking at them leaves them there."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg
import pytest
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.definitions import defs
from pipeline.operate.dead_letters.look import Letters, look
from pipeline.operate.dead_letters.notice import Noticed, is_due
from pipeline.resources.outside_resource import OutsideResource
from pipeline.resources.settings import CUSTODIAN_URL
from pipeline_tests.dead_letter_case import (
    LETTERS,
    RETENTION,
    bury,
    depth,
    environment,
    logins,
    outside,
    recorded,
    with_dead_letters,
)
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import World

LOOK: Final = "look_at_dead_letters_user_logins"
REDRIVE: Final = "redrive_dead_letters_user_logins"
WHY: Final = {"reason": "ticket 12", "stated_by": "Eve", "per_second": 500}


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def looked(
    instance: dg.DagsterInstance,
) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    """What the asset shows, and what its check says."""
    result = defs().resolve_job_def(LOOK).execute_in_process(instance=instance)
    (made,) = result.asset_materializations_for_node("dead_letters__user_logins")
    (check,) = result.get_asset_check_evaluations()
    return {name: value.value for name, value in made.metadata.items()}, check


def test_an_empty_queue_passes_and_nothing_is_received(
    world: World, instance: dg.DagsterInstance
) -> None:
    with_dead_letters(world)
    metadata, check = looked(instance)
    assert (metadata["depth"], check.passed, check.description) == (0, True, None)
    assert world.app.calls["ReceiveMessage"] == 0


def test_letters_are_counted_aged_and_left_where_they_are(
    world: World, instance: dg.DagsterInstance
) -> None:
    """Fault 17: the age counts from the first sending, and so does the time that is left."""
    letters = bury(world, logins(3))
    now = datetime.now(UTC).timestamp()
    seen = look(queue_of(world))
    assert (seen.total, seen.looked_at, seen.queue) == (3, 3, LETTERS)
    age = seen.age(datetime.fromtimestamp(now, UTC))
    assert age is not None
    assert age.total_seconds() == pytest.approx(now - world.clock.now, abs=60)
    assert depth(world, letters) == (3, 0)
    metadata, check = looked(instance)
    assert (metadata["depth"], metadata["looked at"]) == (3, 3)
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.description is not None
    assert "SQS drops the oldest in 0 h" in check.description  # the clock stands in 2023


def test_a_queue_that_may_not_be_received_from_is_counted_all_the_same(world: World) -> None:
    bury(world, logins(3))
    with world.app.gate("ReceiveMessage", 1) as gate:
        world.app.let_fail(gate)
        seen = look(queue_of(world))
    assert (seen.total, seen.oldest) == (3, None)
    assert "refused ReceiveMessage" in seen.trouble


def queue_of(world: World) -> Any:  # noqa: ANN401 - a dead-letter queue that is there
    return outside(world).dead_letters(USER_LOGINS)


@pytest.mark.parametrize(("days", "left"), [(10, 4), (14, 0)])
def test_what_is_left_is_counted_from_the_first_sending(days: int, left: int) -> None:
    now = datetime(2024, 3, 1, tzinfo=UTC)
    seen = Letters(
        queue="q",
        waiting=1,
        in_flight=0,
        retention=RETENTION,
        looked_at=1,
        oldest=now - timedelta(days=days),
    )
    assert seen.left(now) == timedelta(days=left)


@pytest.mark.parametrize(
    ("depth", "last", "hours", "due"),
    [
        (0, 0, 100, False),
        (1, 0, 0, True),  # at once, where the first one appears
        (0, 5, 0, True),  # and where the last one is gone
        (5, 5, 5.9, False),
        (5, 5, 6.0, True),
        (6, 5, 0.2, False),
        (6, 5, 0.25, True),
        (5, 5, -1, True),  # the clock went back
    ],
)
def test_when_a_look_is_due(depth: int, last: int, hours: float, *, due: bool) -> None:
    noticed = Noticed.read(str(Noticed(last, 1_000_000.0)))
    assert is_due(depth, noticed, 1_000_000.0 + hours * 3600) is due


def tick(instance: dg.DagsterInstance, cursor: str | None) -> dg.SensorResult:
    """A tick of the deployed sensor."""
    sensor = defs().resolve_sensor_def("user_logins_dead_letters_sensor")
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"outside": OutsideResource()}
    ) as context:
        result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_the_sensor_notices_by_one_look_and_never_receives(
    world: World, instance: dg.DagsterInstance
) -> None:
    with_dead_letters(world)
    first = tick(instance, None)
    assert not first.run_requests
    bury(world, logins(2))
    received, asked = world.app.calls["ReceiveMessage"], world.app.calls["GetQueueAttributes"]
    noticed = tick(instance, first.cursor)
    assert len(noticed.run_requests or []) == 1
    assert not tick(instance, noticed.cursor).run_requests
    assert world.app.calls["ReceiveMessage"] == received
    assert world.app.calls["GetQueueAttributes"] == asked + 2


def test_the_sensor_says_where_there_is_no_dead_letter_queue_yet(
    world: World, instance: dg.DagsterInstance
) -> None:
    assert "no dead-letter queue" in str(tick(instance, None).skip_reason)
    bury(world, logins(1))
    assert len(tick(instance, None).run_requests or []) == 1


def test_the_job_redrives_and_tells_the_counts(
    world: World, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CUSTODIAN_URL, environment(world)[CUSTODIAN_URL])
    letters = bury(world, logins(3))
    outside(world)
    op = f"redrive_letters_{USER_LOGINS.name}"
    result = (
        defs()
        .resolve_job_def(REDRIVE)
        .execute_in_process(instance=instance, run_config={"ops": {op: {"config": WHY}}})
    )
    (told,) = [each for each in result.all_events if each.is_successful_output]
    counts = {name: value.value for name, value in told.step_output_data.metadata.items()}
    assert counts == {
        "moved": 3,
        "failed": 0,
        "moved but not deleted": 0,
        "another queue's": 0,
        "left": 0,
    }
    assert (world.depth(), depth(world, letters)) == ((3, 0), (0, 0))
    assert len(recorded(world)) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"queue": "another"},
        {"way": "purge"},
        {"per_second": 0},
        {"per_second": 501},
        {"most": 0},
        {"reason": "for ann@example.org"},
    ],
)
def test_nothing_moves_for_a_wrong_order(
    world: World, instance: dg.DagsterInstance, wrong: dict[str, object]
) -> None:
    """Nobody can choose a queue in the web UI, nor a rate that SQS does not take."""
    letters = bury(world, logins(1))
    config = {"ops": {f"redrive_letters_{USER_LOGINS.name}": {"config": {**WHY, **wrong}}}}
    job = defs().resolve_job_def(REDRIVE)
    try:
        succeeded = job.execute_in_process(
            instance=instance, run_config=config, raise_on_error=False
        ).success
    except dg.DagsterInvalidConfigError:
        succeeded = False
    assert (succeeded, depth(world, letters)) == (False, (1, 0))


def test_the_command_lists_and_redrives(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CUSTODIAN_URL, environment(world)[CUSTODIAN_URL])
    bury(world, logins(3))
    outside(world)
    listed = CliRunner().invoke(app, ["dead-letters", "list", "user_logins"])
    assert LETTERS in listed.stdout
    (line,) = [each for each in listed.stdout.splitlines() if LETTERS in each]
    assert line.split()[2:4] == ["3", "0"]
    command = ["dead-letters", "redrive", "user_logins", "--reason", "ticket 12", "--rate", "500"]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, done.stdout) == (0, "moved 3, failed 0, left 0\n")
    assert world.depth() == (3, 0)


def test_a_queue_that_is_missing_keeps_nobody_from_seeing_the_others(world: World) -> None:
    """Of the feeds that are deployed, this world has the queue of one."""
    bury(world, logins(3))
    listed = CliRunner().invoke(app, ["dead-letters", "list"])
    assert listed.exit_code == 1
    rows = {line.split()[0]: line.split()[1:4] for line in listed.stdout.splitlines()}
    assert rows["user_logins"] == [LETTERS, "3", "0"]
    assert rows["pokemon"] == rows["messages"] == ["E_QUEUE_MISSING", "?", "?"]
    assert listed.stdout.count("does not exist") == 2
