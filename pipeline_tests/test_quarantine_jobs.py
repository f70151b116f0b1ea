"""In Dagster the quarantine is counted, redriven and purged; nothing of a message is shown."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest

from pipeline.consume.asset import ingest
from pipeline.operate.quarantine.asset import quarantine
from pipeline.operate.quarantine.choosing import handle_of
from pipeline.operate.quarantine.looking import look_asked
from pipeline.resources.outside_resource import OutsideResource
from pipeline_tests.canaries import found_under
from pipeline_tests.quarantine_case import WHY, Ward, lacking, lenient, ward_in
from pipeline_tests.samples import CANARY, USER_LOGINS
from pipeline_tests.world import World

Run = Callable[..., dg.ExecuteInProcessResult]

OPS: Final = {
    "look_user_logins": "ask_look_user_logins",
    "redrive_user_logins": "send_again_user_logins",
    "purge_quarantine_user_logins": "destroy_user_logins",
}
CHOSEN: Final[Mapping[str, Callable[[str], dict[str, Any]]]] = {
    "look_user_logins": lambda handle: {"message": handle},
    "redrive_user_logins": lambda _: {"everything": True, "dry_run": False},
    "purge_quarantine_user_logins": lambda _: {"older_than_days": 1, "dry_run": False},
}


@pytest.fixture
def ward(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    with ward_in(world, monkeypatch) as ward:
        ward.world.send([f"broken {CANARY}", lacking(CANARY)], [f"event-{CANARY}", "event-1"])
        ward.ingest()
        yield ward


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the instance of this module keeps everything."""
    return tmp_path_factory.mktemp("dagster")


@pytest.fixture(scope="module")
def run(home: Path) -> Iterator[Run]:
    """Runs a job, in one instance for all: it takes a second to make."""
    definitions = dg.Definitions.merge(
        dg.Definitions(assets=[dg.AssetSpec("user_logins")]),
        quarantine([USER_LOGINS]),
        dg.Definitions(
            resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
            executor=dg.in_process_executor,
        ),
    )
    overrides = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as instance:

        def execute(job: str, **config: object) -> dg.ExecuteInProcessResult:
            ops = {"ops": {OPS[job]: {"config": {**WHY, **config}}}} if config else None
            return definitions.resolve_job_def(job).execute_in_process(
                run_config=ops, instance=instance, raise_on_error=False
            )

        yield execute


@pytest.fixture(autouse=True)
def _nothing_is_kept(home: Path, run: Run) -> Iterator[None]:  # noqa: ARG001 - looked at when its instance has written
    yield
    assert found_under([home], {"canary": CANARY.encode()}) == {}


def told(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    """What the run tells of itself."""
    assert result.success
    (output,) = [event for event in result.all_events if event.is_successful_output]
    return {name: each.value for name, each in output.step_output_data.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed."""
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    error = failed.step_failure_data.error
    while error and error.cause:
        error = error.cause
    return error.message if error else ""


@pytest.mark.usefixtures("ward")
def test_the_asset_counts_by_reason_and_column(run: Run) -> None:
    result = run("list_quarantine")
    (event,) = result.get_asset_materialization_events()
    metadata = event.materialization.metadata
    assert metadata["messages"].value == 2
    rows = [record.data for record in metadata["by reason"].value.records]  # type: ignore[union-attr] # a table
    assert [(row["reason"], row["column"], row["messages"]) for row in rows] == [
        ("missing", "device_type", 1),
        ("not_json", None, 1),
    ]
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "missing device_type: 1, not_json: 1" in (check.description or "")


def test_an_empty_quarantine_passes(ward: Ward, run: Run) -> None:
    ward.redrive()
    result = run("list_quarantine")
    assert [check.passed for check in result.get_asset_check_evaluations()] == [True]


def test_a_redrive_first_only_counts(ward: Ward, run: Run) -> None:
    told_ = told(run("redrive_user_logins", everything=True))
    assert (told_["dry run"], told_["chosen"]) == (True, 2)
    assert (len(ward.reasons()), ward.world.depth()) == (2, (0, 0))


def test_a_redrive_puts_on_the_queue_what_is_chosen(ward: Ward, run: Run) -> None:
    result = run("redrive_user_logins", codes=["missing"], dry_run=False)
    assert (told(result)["dry run"], told(result)["redriven"]) == (False, 1)
    assert ward.reasons() == {"not_json": 1}
    assert ward.ingest(lenient()).loaded == 1


@pytest.mark.parametrize("config", [{"dry_run": False}, {"everything": True, "codes": ["missing"]}])
def test_a_redrive_of_nothing_in_particular_is_refused(
    ward: Ward, run: Run, config: dict[str, object]
) -> None:
    assert "E_QUARANTINE" in failure(run("redrive_user_logins", **config))
    assert sum(ward.reasons().values()) == 2


def test_a_redrive_that_outlasts_its_request_is_refused_beforehand(ward: Ward, run: Run) -> None:
    config = {"everything": True, "dry_run": False, "rate": 1e-6}
    assert "take longer than 23 hours" in failure(run("redrive_user_logins", **config))
    assert (len(ward.reasons()), ward.world.depth()) == (2, (0, 0))


def test_a_look_is_only_prepared(ward: Ward, run: Run) -> None:
    ((key,),) = ward.world.query("SELECT key FROM pipeline.quarantine WHERE reason = 'not_json'")
    command = told(run("look_user_logins", message=handle_of(key)))["command"]
    (number,) = re.findall("[0-9a-f-]{36}", command)
    opened = look_asked(ward.outside, number, "Eve")
    assert (opened.event_id, opened.body) == (f"event-{CANARY}", f"broken {CANARY}")


def test_a_purge_destroys_what_is_old(ward: Ward, run: Run) -> None:
    chosen = {"older_than_days": 1, "dry_run": False}
    assert told(run("purge_quarantine_user_logins", **chosen))["purged"] == 0
    ward.let_time_pass(2)
    assert told(run("purge_quarantine_user_logins", **chosen))["purged"] == 2
    assert ward.reasons() == {}


def test_a_purge_first_only_counts(ward: Ward, run: Run) -> None:
    ward.let_time_pass(2)
    told_ = told(run("purge_quarantine_user_logins", older_than_days=1))
    assert (told_["dry run"], told_["chosen"]) == (True, 2)
    assert sum(ward.reasons().values()) == 2
    assert ward.world.query("SELECT * FROM pipeline.audit") == []


@pytest.mark.parametrize("job", [*OPS])
def test_a_reason_that_looks_personal_is_not_kept(ward: Ward, run: Run, job: str) -> None:
    """It would stand in the audit for years."""
    ward.let_time_pass(2)
    ((key,), _) = ward.world.query("SELECT key FROM pipeline.quarantine")
    reason = "for ann@x.org"
    refused = failure(run(job, **CHOSEN[job](handle_of(key)), reason=reason))
    assert "E_AUDIT_REFUSED" in refused
    assert "looks personal (email)" in refused
    assert sum(ward.reasons().values()) == 2
    assert ward.world.query("SELECT * FROM pipeline.audit") == []


def test_the_account_of_the_feed_still_adds_up(ward: Ward) -> None:
    """What has left the quarantine was in it when its batch was settled."""
    ward.redrive()
    only_checks = dg.define_asset_job(
        "look_again", selection=dg.AssetSelection.checks_for_assets(USER_LOGINS.name)
    )
    definitions = dg.Definitions.merge(
        ingest(USER_LOGINS),
        dg.Definitions(
            jobs=[only_checks],
            resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
            executor=dg.in_process_executor,
        ),
    )
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("look_again")
        evaluations = job.execute_in_process(instance=instance).get_asset_check_evaluations()
    (account,) = [each for each in evaluations if each.check_name == "account_adds_up"]
    assert account.passed
    assert account.metadata["in the quarantine"].value == 2


def test_a_purge_of_what_is_young_is_refused(ward: Ward, run: Run) -> None:
    result = run("purge_quarantine_user_logins", older_than_days=0.5, dry_run=False)
    assert "for a day" in failure(result)
    assert sum(ward.reasons().values()) == 2


@pytest.mark.usefixtures("ward")
def test_a_value_in_the_place_of_a_handle_is_not_repeated(run: Run) -> None:
    """What is entered in the launch pad is kept by Dagster itself: the error adds nothing."""
    assert "no handle" in failure(run("look_user_logins", message="a" * 8 + "z"))
    assert "no message" in failure(run("look_user_logins", message="0123456789ab"))
