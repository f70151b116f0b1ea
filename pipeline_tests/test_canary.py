"""The canary goes through the real REST service, queue and job, and tells where it stopped."""

import contextlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from pipeline import feeds
from pipeline.consume.readiness import check_sink
from pipeline.definitions import defs
from pipeline.errors import SettingsError
from pipeline.masking.key_file import KeyFile
from pipeline.operate.canary import KEY, SECONDS, TYPE, URL, read_settings
from pipeline.operate.canary_job import FEED
from pipeline.operate.drain import ingest_once
from pipeline.produce.rest.api_keys import digest_of
from pipeline.produce.rest.app import create_app
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.server import make_server
from pipeline.produce.rest.settings import API_KEYS, build_service
from pipeline_tests.queue_fixtures import serving
from pipeline_tests.samples import CANARY, eventually
from pipeline_tests.upstream import BASE, Reply
from pipeline_tests.upstream import serving as raw_service
from pipeline_tests.world import World, free_port

API_KEY = "sk_canary_1"
SENDERS = {"senders": {"canary": {"feeds": [FEED], "keys": [digest_of(API_KEY)]}}}
LIMIT = 60  # seconds: more than a slow machine needs


@pytest.fixture
def api(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The REST service before the queue of the world, and the settings of a canary for it."""
    world.sqs.create_queue(QueueName=feeds.find(FEED).queue)
    environment = {**world.environment, API_KEYS: json.dumps(SENDERS)}
    service = build_service(environment, feeds.discover(), Limits())
    with serving(make_server(create_app(service), service)) as url:
        monkeypatch.setenv(URL, url)
        monkeypatch.setenv(KEY, API_KEY)
        monkeypatch.setenv(SECONDS, str(LIMIT))
        yield url


def fly() -> tuple[dg.ExecuteInProcessResult, dg.AssetCheckEvaluation]:
    """A run of the canary's job, and what its check says."""
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs().resolve_job_def("send_canary")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == "canary_arrives"
    return result, check


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (materialization,) = result.asset_materializations_for_node("canary")
    return {name: value.value for name, value in materialization.metadata.items()}


def make_table(world: World) -> None:
    check_sink(feeds.find(FEED), url=world.postgres_url, keyring=KeyFile(world.keyring))


@contextlib.contextmanager
def drained(world: World) -> Iterator[None]:
    """A run of the feed's job once a message is there, as the sensor or `consume` would start."""
    url = world.sqs.get_queue_url(QueueName=feeds.find(FEED).queue)["QueueUrl"]

    def waits() -> bool:
        answer = world.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return answer["Attributes"]["ApproximateNumberOfMessages"] != "0"

    def drain() -> None:
        eventually(waits)
        with dg.DagsterInstance.ephemeral() as instance:
            ingest_once(defs(), feeds.find(FEED), instance)

    with ThreadPoolExecutor(1) as pool:
        draining: Future[None] = pool.submit(drain)
        yield
        draining.result()


@pytest.mark.usefixtures("api")
def test_it_arrives_is_timed_and_leaves_no_row(world: World) -> None:
    with drained(world):
        result, check = fly()
    assert result.success
    assert check.passed
    told = metadata(result)
    seconds = told["seconds"]
    assert isinstance(seconds, float)
    assert 0 < seconds < LIMIT
    assert told | {"seconds": 0} == {
        "seconds": 0,
        "limit (s)": LIMIT,
        "fate": "arrived",
        "rows removed": 1,
    }
    assert world.query("SELECT count(*) FROM messages") == [(0,)]
    assert world.query("SELECT count(*) FROM pipeline.ledger") == [(1,)]


@pytest.mark.usefixtures("api")
def test_older_ones_that_were_left_behind_go_and_other_rows_and_newer_ones_stay(
    world: World,
) -> None:
    make_table(world)
    now = datetime.now(UTC)
    for kind, age in ((TYPE, 3_600), (TYPE, -60), ("order.paid", 3_600), (None, 3_600)):
        moment = (now - timedelta(seconds=age)).isoformat()
        value = "NULL" if kind is None else f"'{kind}'"
        world.query(
            f"INSERT INTO messages (message_type, occurred_at) VALUES ({value}, '{moment}')"
        )
    with drained(world):
        result, _ = fly()
    assert metadata(result)["rows removed"] == 2
    left = world.query("SELECT message_type, occurred_at > now() FROM messages ORDER BY 1")
    assert left == [("order.paid", False), (TYPE, True), (None, False)]


@pytest.mark.usefixtures("api")
def test_one_that_is_no_row_in_time_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 19: nobody works the queue off."""
    monkeypatch.setenv(SECONDS, "1.2")
    result, check = fly()
    assert result.success
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.ERROR
    assert re.fullmatch(
        r"accepted, and not a row yet, after 1\.\d s\. Look at the queue's depth, .+",
        str(check.description),
    )
    assert metadata(result)["fate"] == "accepted, and not a row yet"
    assert world.app.calls["SendMessageBatch"] == 1


@pytest.mark.usefixtures("api")
def test_one_in_the_quarantine_says_why(world: World) -> None:
    make_table(world)
    world.query("ALTER TABLE messages ADD CHECK (message_type <> 'pipeline.canary')")
    with drained(world):
        _, check = fly()
    assert not check.passed
    assert str(check.description).startswith("quarantined (refused_by_database), after ")


@pytest.mark.parametrize("trouble", ["a wrong key", "nobody there"])
def test_one_that_the_api_does_not_take_says_so(
    api: str, world: World, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    if trouble == "a wrong key":
        monkeypatch.setenv(KEY, CANARY)
    else:
        monkeypatch.setenv(URL, api.replace(api.rpartition(":")[2], str(free_port())))
    result, check = fly()
    assert not check.passed
    answer = "HTTP 401" if trouble == "a wrong key" else r"no answer \(ConnectError\)"
    assert re.match(f"not accepted by the API \\({answer}\\), after", str(check.description))
    assert world.app.calls["SendMessageBatch"] == 0
    assert CANARY not in repr(result.all_events)


@pytest.mark.usefixtures("api")
def test_a_bad_gateway_is_an_answer_that_fails_the_check(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raw_service() as server:
        server.api.hooks.append(lambda _request: Reply(b"[" * 50_000, 202))
        monkeypatch.setenv(URL, server.url.removesuffix(BASE))
        result, check = fly()
    assert result.success
    assert not check.passed
    assert str(check.description).startswith("not accepted by the API (HTTP 202), after")
    assert world.depth() == (0, 0)


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, URL),
        ({KEY: API_KEY}, URL),
        ({URL: "https://events.example.org"}, KEY),
        ({URL: "http://127.0.0.1:8080", SECONDS: "soon"}, SECONDS),
        ({URL: "http://127.0.0.1:8080", SECONDS: "nan"}, SECONDS),
        ({URL: "http://127.0.0.1:8080", SECONDS: "0"}, SECONDS),
    ],
)
def test_a_setting_that_is_missing_is_named(environment: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        read_settings(environment)


def test_without_settings_the_run_fails_with_one_clear_error(world: World) -> None:
    assert world.depth() == (0, 0)
    with dg.DagsterInstance.ephemeral() as instance:
        job = defs().resolve_job_def("send_canary")
        result = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    failure = result.failure_data_for_node("canary")
    assert failure is not None
    assert failure.error is not None
    assert f"E_SETTINGS: {URL} is not given" in failure.error.to_string()


def test_nothing_of_where_it_goes_can_be_set_in_a_run() -> None:
    """Run config is kept in the clear, and anybody who sees the web UI may write it."""
    (op,) = defs().resolve_job_def("send_canary").all_node_defs
    assert isinstance(op, dg.OpDefinition)
    assert op.config_field is None or not op.config_field.is_required
    assert defs().resolve_schedule_def("canary_schedule").default_status is (
        dg.DefaultScheduleStatus.STOPPED
    )
