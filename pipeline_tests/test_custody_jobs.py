"""The jobs prepare, forget and rotate; no value is in anything that Dagster keeps of them."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import pytest

from pipeline.contract import Feed, Field
from pipeline.definitions import defs
from pipeline.masking.policies import Encrypt, IpPrefix, Keep, Pseudonymize
from pipeline.operate.custody_jobs import custody_jobs
from pipeline.operate.unmask import unmask_asked
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import IpAddress, Text
from pipeline_tests.canaries import Canaries, found_under
from pipeline_tests.custody_case import ORDERS, Desk, desk_at
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY
from pipeline_tests.test_unmask import declare_orders
from pipeline_tests.world import lead_to

Run = Callable[..., dg.ExecuteInProcessResult]

WHY = {"reason": "ticket 12", "stated_by": "Eve"}
OPS = {
    "unmask_orders": "ask_orders",
    "forget_orders": "erase_orders",
    "rotate_orders": "renew_orders",
}


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with desk_at(warehouse_url, tmp_path) as desk:
        lead_to(
            {
                "AWS_REGION": "us-east-1",
                "PIPELINE_POSTGRES_URL": desk.url,
                "PIPELINE_CUSTODIAN_URL": desk.outside.custodian_url(),
                "PIPELINE_KEYRING": str(desk.keys.path),
            },
            monkeypatch,
        )
        yield desk


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a job of the feed, in an instance that keeps nothing."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield running(instance)


@pytest.fixture
def kept_run(home: Path) -> Iterator[Run]:
    """The same in an instance that keeps everything below its home; it is slow to make."""
    overrides = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as instance:
        yield running(instance)


def running(instance: dg.DagsterInstance) -> Run:
    """What runs a job of the feed in an instance."""
    definitions = dg.Definitions(
        jobs=custody_jobs(ORDERS),
        resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
        executor=dg.in_process_executor,
    )

    def execute(job: str, **config: object) -> dg.ExecuteInProcessResult:
        return definitions.resolve_job_def(job).execute_in_process(
            run_config={"ops": {OPS[job]: {"config": config}}},
            instance=instance,
            raise_on_error=False,
        )

    return execute


def metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    """What the run tells of itself."""
    assert result.success
    (output,) = [event for event in result.all_events if event.is_successful_output]
    found = output.step_output_data.metadata
    return {name: value.value for name, value in found.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """The text of the innermost error of a run."""
    assert not result.success
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error
    while error.cause:
        error = error.cause
    return error.message


def test_unmasking_is_prepared_and_opened_at_the_command_line(
    desk: Desk, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare_orders(tmp_path, monkeypatch)
    desk.load({"email": "ann@x.org"})
    (token,) = desk.column("customer")

    told = metadata(run("unmask_orders", column="customer", pseudonyms=[token], **WHY))

    assert (told["column"], told["pseudonyms"]) == ("customer", 1)
    assert desk.audit() == [("unmask asked", "email", token)]
    found = re.fullmatch(r"pipeline unmask --request ([0-9a-f-]{36})", told["command"])
    assert found
    (opened,) = unmask_asked(desk.outside, UUID(found[1]), "Eve")
    assert opened.value == "ann@x.org"


def test_forgetting_reports_what_could_not_be_forgotten(desk: Desk, run: Run) -> None:
    desk.load({"email": "ann@x.org", "phone": "+49 30 1"})

    told = metadata(
        run("forget_orders", column="customer", pseudonyms=desk.column("customer"), **WHY)
    )

    assert (told["vault_rows_destroyed"], told["rows"], told["rows_deleted"]) == (1, 1, 0)
    assert "- not forgotten: phone (encrypt) in 1 rows" in told["report"]
    assert desk.vault() == set()


def test_rows_are_deleted_only_where_that_is_asked_for(desk: Desk, run: Run) -> None:
    desk.load({"email": "ann@x.org", "phone": "+49 30 1"})
    given = {"column": "phone", "pseudonyms": desk.column("phone"), **WHY}
    assert "delete_rows: true" in failure(run("forget_orders", **given))
    assert len(desk.column("phone")) == 1
    assert metadata(run("forget_orders", **given, delete_rows=True))["rows_deleted"] == 1
    assert desk.column("phone") == []


def test_rotation_counts_what_it_has_renewed(desk: Desk, run: Run) -> None:
    desk.load({"email": "ann@x.org", "phone": "+49 30 1"})
    desk.keys.add_version()
    told = metadata(run("rotate_orders", reason="a new key"))
    assert (told["version"], told["renewed"]) == (2, {"customer": 1, "phone": 1})
    ((by,),) = ask(desk.url, "SELECT DISTINCT stated_by FROM pipeline.audit")
    assert by.startswith("Dagster run ")


def test_run_monitoring_leaves_a_rotation_time() -> None:
    job = defs().resolve_job_def("rotate_user_logins")
    assert int(job.tags["dagster/max_runtime"]) > 24 * 3600


def test_no_job_leaves_a_value_behind(
    desk: Desk, kept_run: Run, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """In no event, log, run config or metadata, whether it succeeds or fails."""
    canaries = Canaries()
    for place in range(6):
        desk.load(
            {
                "email": canaries.device(place),
                "phone": canaries.device(place),
                "ip": canaries.address(place),
                "city": canaries.device(place),
            }
        )
    ask(desk.url, "UPDATE shop.orders SET phone = city WHERE id % 2 = 0")
    desk.keys.add_version()
    lists: dict[str, Any] = {
        name: [token for token in desk.column(name) if re.match("v1[.]|.*:.*:", token)]
        for name in ("customer", "phone", "sealed_ip", "ip")
    }
    for name, tokens in lists.items():
        assert kept_run("unmask_orders", column=name, pseudonyms=tokens, **WHY).success
        assert not kept_run("unmask_orders", column=name, pseudonyms=["x"], **WHY).success
    assert "rows hold what does not open" in failure(kept_run("rotate_orders"))
    for name, tokens in lists.items():
        kept_run("forget_orders", column=name, pseudonyms=tokens[:1], **WHY)
        given = {"column": name, "pseudonyms": tokens[1:2], **WHY}
        assert kept_run("forget_orders", **given, delete_rows=True).success
    ask(desk.url, "DROP TABLE shop.orders")
    assert not kept_run("rotate_orders").success

    needles = canaries.masked_needles()
    assert found_under([home], needles) == {}
    printed = capfd.readouterr()
    assert not [name for name, each in needles.items() if each.decode("latin-1") in printed.err]
    # The search would see one.
    (home / "planted").write_text(canaries.device(1))
    assert found_under([home], needles)


@pytest.mark.parametrize(
    "config",
    [
        {"column": "id"},
        {"column": "city"},
        {"column": "customer; DROP TABLE shop.orders"},
        {"table": "pipeline.audit"},
        {"url": "postgresql://elsewhere"},
        {"pseudonyms": "v1.x"},
        {"reason": None},
    ],
)
@pytest.mark.parametrize("job", ["unmask_orders", "forget_orders"])
def test_a_launch_chooses_nothing_but_a_column_of_pseudonyms(
    job: str, config: dict[str, object]
) -> None:
    (definition,) = [each for each in custody_jobs(ORDERS) if each.name == job]
    sound = {"column": "customer", "pseudonyms": ["v1.x"], **WHY}
    definitions = dg.Definitions(jobs=[definition], resources={"outside": OutsideResource()})
    resolved = definitions.resolve_job_def(job)
    assert dg.validate_run_config(resolved, {"ops": {OPS[job]: {"config": sound}}})
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(resolved, {"ops": {OPS[job]: {"config": sound | config}}})


def test_what_is_no_pseudonym_is_refused_and_not_recorded(desk: Desk, run: Run) -> None:
    result = run("unmask_orders", column="customer", pseudonyms=[f"v1.{'a' * 43}", CANARY], **WHY)
    assert "number 2 of what is given is no pseudonym" in failure(result)
    assert CANARY not in failure(result)
    assert desk.audit() == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reason": "a\0b"}, "not plain text"),
        ({"reason": "\ud800"}, "not plain text"),
        ({"stated_by": "a\0b"}, "not plain text"),
        ({"reason": "for ann@x.org"}, r"looks personal \(email\)"),
    ],
)
@pytest.mark.parametrize("job", ["unmask_orders", "forget_orders"])
def test_what_must_not_be_kept_for_good_is_refused(
    desk: Desk, run: Run, job: str, changes: dict[str, str], told: str
) -> None:
    desk.load({"email": "ann@x.org"})
    given = {"column": "customer", "pseudonyms": desk.column("customer"), **WHY}
    assert re.search(f"E_AUDIT_REFUSED: .*{told}", failure(run(job, **given | changes)))
    assert desk.audit() == []


def test_the_reason_of_a_rotation_is_looked_at_too(desk: Desk, run: Run) -> None:
    desk.load({"email": "ann@x.org"})
    assert "looks personal" in failure(run("rotate_orders", reason="for ann@x.org"))
    assert desk.audit() == []


def test_an_address_that_is_not_in_the_table_is_not_recorded(desk: Desk, run: Run) -> None:
    desk.load({"email": "ann@x.org", "ip": "10.0.0.1"})
    given = {"column": "ip", "pseudonyms": [*desk.column("ip"), "2001:db8::7"], **WHY}
    told = metadata(run("forget_orders", **given, delete_rows=True))
    assert told["rows_deleted"] == 1
    assert "- not in this column, and not recorded: 1 of" in told["report"]
    assert "2001:db8::7" not in {token for _, _, token in desk.audit()}
    assert metadata(run("forget_orders", **given, delete_rows=True))["rows_deleted"] == 0


@pytest.mark.parametrize("job", ["unmask_orders", "forget_orders"])
def test_without_a_custodians_log_in_nothing_is_done(
    desk: Desk, run: Run, monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    desk.load({"email": "ann@x.org"})
    monkeypatch.delenv("PIPELINE_CUSTODIAN_URL")
    result = run(job, column="customer", pseudonyms=desk.column("customer"), **WHY)
    assert "E_SETTINGS: PIPELINE_CUSTODIAN_URL is not given" in failure(result)
    assert desk.audit() == []


def test_a_feed_has_the_jobs_that_it_has_columns_for() -> None:
    def jobs(*fields: Field) -> list[str]:
        feed = Feed(name="f", description="", queue="q", table="t", fields=fields)
        return [job.name for job in custody_jobs(feed)]

    assert jobs(Field("a", Text(9), Encrypt())) == ["unmask_f", "forget_f", "rotate_f"]
    assert jobs(Field("a", Text(9), Pseudonymize())) == ["forget_f"]
    assert jobs(Field("a", IpAddress(), IpPrefix()), Field("b", Text(9), Keep())) == []
