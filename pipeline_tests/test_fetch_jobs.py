"""A source in Dagster: the plan makes partitions, each is fetched by a run, and checks say it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline.produce.fetch import ledger
from pipeline.produce.fetch.ledger import Counts
from pipeline_tests.fetch_case import QUICK, path, paths
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.fetch_jobs_case import RECORDS, Deployed, definitions_of, deploy, verdicts
from pipeline_tests.samples import CANARY
from pipeline_tests.upstream import LIST, Reply, Upstream, pokemon

Deploy = Callable[[Upstream], Deployed]
RANGES = ["0000000-0000040", "0000040-0000080", "0000080-0000120"]


@pytest.fixture
def deployed(
    case_of: MakeCase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deploy]:
    """A source in Dagster, over an API of the test's own."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield lambda api: deploy(case_of(api), instance, tmp_path, monkeypatch)


def test_a_plan_counts_and_cuts_and_asks_for_no_record(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 101)))
    told = one.plan()
    assert one.ranges() == RANGES
    assert (told["count"], told["ranges"], told["ranges added"]) == (100, 3, 3)
    assert (told["ranges removed"], told["ledger/sent"], told["ledger/planned"]) == (0, 0, 0)
    assert (len(one.case.api.pages()), one.case.api.asked()) == (1, [])


def test_the_partitions_follow_the_list(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 101)))
    one.plan()
    for number in range(30, 101):
        del one.case.api.records[number]
    told = one.plan()
    assert one.ranges() == RANGES[:1]
    assert (told["count"], told["ranges added"], told["ranges removed"]) == (29, 0, 2)
    one.case.api.records[30] = pokemon(30)
    assert one.plan()["ranges added"] == 0


def test_all_partitions_together_put_every_record_on_the_queue_once(deployed: Deploy) -> None:
    numbers = [*range(1, 90), *range(10_001, 10_012)]
    one = deployed(Upstream(numbers))
    one.plan()
    done = one.fetch_all()
    assert (done.planned, done.requested, done.sent, done.failed) == (100, 100, 100, 0)
    assert one.case.sent() == paths(numbers)
    assert one.instance.get_materialized_partitions(RECORDS) == set(RANGES)
    assert one.plan()["ledger/sent"] == 100


def test_a_second_plan_and_fetch_ask_for_no_record(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 41)))
    for _ in range(2):
        one.case.api.forget()
        one.plan()
        done = one.fetch_all()
    assert one.case.api.asked() == []
    assert (done.requested, done.sent, done.unchanged) == (0, 0, 0)
    # Past the time for which a record is fresh, an empty answer each.
    again = one.stale().fetch_all()
    assert (again.requested, again.sent, again.unchanged) == (40, 0, 40)
    assert one.case.sent() == paths(range(1, 41))


def test_a_range_tells_what_it_did_and_how_fast(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 51)))
    one.plan()
    told = one.fetch(RANGES[1])
    # Of its own ten records, and the four before them that might have moved.
    assert (told["planned"], told["requested"], told["sent"]) == (14, 14, 14)
    assert (told["unchanged"], told["failed"], told["gone"]) == (0, 0, 0)
    requests = told["requests per second"] * told["seconds"]
    assert requests == pytest.approx(14 + told["pages"], rel=0.05)


def test_a_record_that_fails_warns_and_is_named_and_can_be_tried_again(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 31)))
    one.case.api.at(path(7), Reply(status=500))
    one.case.api.records[9]["height"] = "tall"
    one.plan()
    result = one.run("fetch_pokeapi", RANGES[0])
    assert result.success
    warning = verdicts(result)["no_record_failed"]
    assert (warning.passed, warning.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert warning.description == "2 failed; the job `retry_pokeapi` tries them again"
    table = warning.metadata["failed records"]
    assert isinstance(table, dg.TableMetadataValue)
    rows = [row.data for row in table.records]
    told = {row["item"]: (row["attempts"], row["reason"]) for row in rows}
    assert told == {path(7): (3, "http_500"), path(9): (1, "transform")}
    assert verdicts(result)["every_record_is_there"].passed

    one.case.api.hooks.clear()
    retried = one.run("retry_pokeapi")
    assert retried.success
    assert one.case.counts() == Counts(sent=29, failed=1)
    assert latest(one).description == "1 failed; the job `retry_pokeapi` tries them again"
    one.case.api.records[9] = pokemon(9)
    assert one.run("retry_pokeapi").success
    assert latest(one).passed
    assert one.case.sent() == paths(range(1, 31))


def test_the_ledger_is_held_against_the_list_range_by_range(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 81)))
    one.plan()
    first, second = (verdicts(one.run("fetch_pokeapi", key)) for key in RANGES[:2])
    early, late = (each["every_record_is_there"] for each in (first, second))
    assert (early.passed, early.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert early.description == "40 of 80 so far; ranges still to be fetched: 1"
    assert late.passed

    one.case.api.records |= {number: pokemon(number) for number in range(101, 104)}
    one.plan()
    for number in range(101, 104):
        del one.case.api.records[number]
    one.fetch(RANGES[0])
    missing = verdicts(one.run("fetch_pokeapi", RANGES[1]))["every_record_is_there"]
    assert missing.severity is dg.AssetCheckSeverity.WARN  # a third range is still to come
    one.run("fetch_pokeapi", RANGES[2])
    missing = verdicts(one.run("fetch_pokeapi", RANGES[1]))["every_record_is_there"]
    assert (missing.passed, missing.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert missing.description == "80 of 83: the list has changed since; plan again"


def test_a_record_that_is_gone_and_still_listed_is_not_missing(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 31)))
    one.plan()
    one.fetch(RANGES[0])
    one.case.api.at(path(5), Reply(status=410))
    told = verdicts(one.stale().run("fetch_pokeapi", RANGES[0]))["every_record_is_there"]
    assert one.case.counts() == Counts(sent=29, gone=1)
    assert told.passed
    del one.case.api.records[6]  # and this one is no longer listed
    verdicts(one.stale().run("fetch_pokeapi", RANGES[0]))
    one.case.api.records |= {99: pokemon(99), 6: pokemon(6)}
    one.plan()
    del one.case.api.records[99]
    told = verdicts(one.run("fetch_pokeapi", RANGES[0]))["every_record_is_there"]
    assert told.description == "30 of 31: the list has changed since; plan again"


def test_two_runs_of_one_range_are_not_at_it_together(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 31)))
    one.plan()
    one.case.api.forget()
    with ledger.opened(one.case.reach, QUICK) as other:
        other.lock(RANGES[0])
        result = one.run("fetch_pokeapi", RANGES[0])
    assert not result.success
    assert "E_FETCH_BUSY: another fetcher works on this range" in one.kept(result)
    assert one.case.api.requests == []
    assert one.fetch(RANGES[0])["sent"] == 30


def test_a_check_that_cannot_look_fails_no_run(
    deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = deployed(Upstream(range(1, 31)))
    one.plan()
    job = definitions_of(QUICK).resolve_job_def("fetch_pokeapi")
    monkeypatch.setenv("PIPELINE_SOURCE_POKEAPI_URL", "no address")
    checks = [f"pokeapi_records_{name}" for name in ("no_record_failed", "every_record_is_there")]
    result = job.execute_in_process(
        instance=one.instance, partition_key=RANGES[0], op_selection=checks, raise_on_error=False
    )
    assert result.success
    for each in verdicts(result).values():
        assert (each.passed, each.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert each.description is not None
        assert each.description.startswith("not checked: E_SETTINGS: PIPELINE_SOURCE_POKEAPI_URL")


def test_no_value_of_a_record_is_in_what_dagster_keeps(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 11)))
    one.case.api.records[3] = pokemon(3, name=CANARY, base_experience=CANARY)  # breaks the contract
    one.case.api.records[4] = pokemon(4, height=CANARY)  # fails the source's own function
    one.case.api.at(path(5), Reply(f"<html>{CANARY}".encode()))
    runs = [one.run("plan_pokeapi"), one.run("fetch_pokeapi", RANGES[0]), one.run("retry_pokeapi")]
    assert all(run.success for run in runs)
    assert one.case.counts() == Counts(sent=7, failed=3)
    assert CANARY not in "".join(map(one.kept, runs))


def test_an_address_that_looks_personal_is_scrubbed(deployed: Deploy) -> None:
    one = deployed(Upstream(range(1, 2)))
    address = f"{LIST}ann@example.org/"
    page = {"count": 1, "next": None, "results": [{"url": address}]}
    one.case.api.hooks.append(
        lambda request: Reply(json.dumps(page).encode() if request.is_page else b"{}")
    )
    one.plan()
    result = one.run("fetch_pokeapi", RANGES[0])
    assert one.case.reasons() == {address: "transform"}
    assert "ann@example.org" not in one.kept(result)
    assert f"{LIST}[email]/" in one.kept(result)


def test_a_run_may_take_longer_than_one_that_holds_messages(deployed: Deploy) -> None:
    """Those of a backfill too, which are runs of another job."""
    one = deployed(Upstream(range(1, 31)))
    one.plan()
    everything = definitions_of(QUICK).resolve_implicit_global_asset_job_def()
    runs = [
        one.run("fetch_pokeapi", RANGES[0]),
        everything.execute_in_process(
            instance=one.instance, partition_key=RANGES[0], asset_selection=[RECORDS]
        ),
    ]
    for result in runs:
        run = one.instance.get_run_by_id(result.run_id)
        assert run is not None
        assert float(run.tags["dagster/max_runtime"]) >= 3_600


@pytest.mark.parametrize("job", ["plan_pokeapi", "fetch_pokeapi", "retry_pokeapi"])
def test_no_launch_can_lead_a_run_to_another_place(job: str) -> None:
    elsewhere = {"resources": {"outside": {"config": {"base": "http://192.0.2.1/"}}}}
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(defs().resolve_job_def(job), elsewhere)


def test_nothing_is_asked_of_a_public_api_until_somebody_says_so() -> None:
    schedule = defs().get_repository_def().get_schedule_def("refresh_pokeapi")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


def latest(one: Deployed) -> dg.AssetCheckEvaluation:
    """What the asset shows of the check now."""
    key = dg.AssetCheckKey(RECORDS, "no_record_failed")
    record = one.instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert record.event is not None
    assert record.event.dagster_event is not None
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    return evaluation
