"""What the environment means to the REST service: the queue alone, and never a keyring."""

import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Final

import pytest

from pipeline.errors import SettingsError, TableMismatch
from pipeline.produce.rest.api_keys import digest_of
from pipeline.produce.rest.app import create_app
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.server import make_server
from pipeline.produce.rest.service import Service
from pipeline.produce.rest.settings import build_service, check_host
from pipeline.resources.outside import SendOnly
from pipeline.resources.settings import read_producer_settings, without_services
from pipeline_tests.rest_case import USER_LOGINS

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_AWS: Final = {
    "AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
_URL: Final = "postgresql://producer:hunter2@127.0.0.1:1/warehouse"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boto3 looks at the environment of the process."""
    for name, value in _AWS.items():
        monkeypatch.setenv(name, value)


def build(environment: Mapping[str, str]) -> Service:
    """The service of an environment, for one feed."""
    return build_service(environment, [USER_LOGINS], Limits())


def test_nothing_set_means_the_embedded_queue() -> None:
    assert read_producer_settings(without_services(_AWS)) is None


def test_sqs_alone_is_enough_and_postgres_may_be_named() -> None:
    alone = read_producer_settings(_AWS)
    assert alone is not None
    assert (alone.sqs_url, alone.region) == ("http://127.0.0.1:1", "us-east-1")
    assert alone.postgres_url is None
    beside = read_producer_settings(_AWS | {"PIPELINE_POSTGRES_URL": _URL})
    assert beside is not None
    assert beside.postgres_url == _URL
    assert "hunter2" not in repr(beside)
    assert "hunter2" not in repr(SendOnly.of(_AWS | {"PIPELINE_POSTGRES_URL": _URL}))


@pytest.mark.parametrize(
    "half",
    [
        {"PIPELINE_POSTGRES_URL": _URL},
        {"AWS_ACCESS_KEY_ID": "test"},
        {"AWS_SECRET_ACCESS_KEY": "test"},
        {"AWS_REGION": "us-east-1", "PIPELINE_OWNER_URL": _URL},
    ],
)
def test_half_of_a_configuration_is_refused(half: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="given, but n"):
        read_producer_settings(half)


def test_a_process_that_only_sends_has_no_keyring() -> None:
    assert {each.name for each in fields(SendOnly)} == {"endpoint", "postgres_url"}


def test_without_keys_it_is_loopback_or_nothing() -> None:
    keyless = build(_AWS)
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        check_host(host, keyless)
    keys = {"senders": {"acme": {"feeds": ["*"], "keys": [digest_of("x")]}}}
    keyed = build(_AWS | {"PIPELINE_API_KEYS": json.dumps(keys)})
    for host in ("0.0.0.0", "::", "", "192.0.2.1", "localhost.example.org"):  # noqa: S104 - it is what is tested
        with pytest.raises(SettingsError, match="loopback only"):
            check_host(host, keyless)
        check_host(host, keyed)


def test_answers_are_kept_in_postgres_only_where_there_is_one(warehouse_url: str) -> None:
    given = _AWS | {"PIPELINE_SERVE_IDEMPOTENCY": "postgres"}
    with pytest.raises(SettingsError, match="PIPELINE_POSTGRES_URL is not given"):
        build(given)
    with pytest.raises(TableMismatch):
        build(given | {"PIPELINE_POSTGRES_URL": warehouse_url})
    with pytest.raises(SettingsError, match="none of its words"):
        build(_AWS | {"PIPELINE_SERVE_IDEMPOTENCY": "redis"})


def test_a_warehouse_that_is_down_keeps_no_service_from_starting() -> None:
    given = _AWS | {"PIPELINE_SERVE_IDEMPOTENCY": "postgres", "PIPELINE_POSTGRES_URL": _URL}
    build(given).store.close()


def test_the_bounds_are_these() -> None:
    """Whoever changes one changes what is promised to callers, to the gateway or to a deployment.

    A gateway gives up a connection that rests for 60 seconds: the service must rest longer.
    """
    assert asdict(Limits()) == {
        "linger_seconds": 0.005,
        "per_call": 10,
        "calls": 8,
        "pending_messages": 4_000,
        "pending_bytes": 64 * 2**20,
        "batch_bytes": 10 * 2**20,
        "patience_seconds": 10,
        "head_seconds": 10,
        "body_seconds": 30,
        "answer_seconds": 30,
        "drain_seconds": 5,
        "idle_seconds": 75,
        "connections": 400,
        "stop_seconds": 30,
    }


def test_the_server_is_given_its_bounds() -> None:
    service = build(_AWS)
    config = make_server(create_app(service), service).config
    assert config.timeout_keep_alive == service.limits.idle_seconds
    assert config.timeout_graceful_shutdown == service.limits.stop_seconds


def test_sqs_is_not_waited_for_longer_than_a_caller_waits() -> None:
    """A call that hangs is given up, and tried twice more, within a gateway's half a minute."""
    outside = SendOnly.of(_AWS)
    waits = [_read_seconds(client) for client in (outside.client(8), outside.look_client())]
    assert waits == [5, 1]


def _read_seconds(client: "SQSClient") -> float:
    with closing(client):
        seconds: float = client.meta.config.read_timeout  # type: ignore[attr-defined] # it is there
    return seconds
