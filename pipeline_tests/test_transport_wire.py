"""Where the lean transport calls, and whom it trusts: connections, TLS, addresses, proxies."""

import contextlib
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.exceptions import EndpointConnectionError
from cryptography import x509

from pipeline.feeds.user_logins import FEED
from pipeline.resources.outside import Outside
from pipeline.resources.sqs_client import Endpoint
from pipeline.transport.client import LeanClient
from pipeline.transport.wire import Answer, Patience, Wire
from pipeline_tests.authority import LOOPBACK, NOW, Authority
from pipeline_tests.outside_world import unused_port
from pipeline_tests.scripted_sqs import SOUND, Reply, ScriptedSqs, scripted
from pipeline_tests.transport_case import URL, Both, both, clients, receive, server
from pipeline_tests.world import World

__all__ = ["both", "server"]


def test_one_connection_serves_call_after_call(both: Both) -> None:
    for _ in range(5):
        receive(both.lean)
    assert both.server.connections == 1


def test_a_connection_that_the_server_has_closed_meanwhile_is_made_anew(both: Both) -> None:
    both.server.replies += [replace(SOUND, cut=len(SOUND.body)), SOUND]
    assert [receive(both.lean), receive(both.lean)] == [{"Messages": []}] * 2
    assert (both.server.connections, both.pauses) == (2, [])


def test_nobody_there_and_nobody_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with unused_port() as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}", embedded=True)
        with clients(endpoint) as each:
            assert [receive(client) for client in each] == ["EndpointConnectionError"] * 2
    # libcurl has one limit for both, which begins with the connection.
    monkeypatch.setattr("pipeline.resources.sqs_client._CONNECT_SECONDS", 0.2)
    with scripted() as silent:
        silent.replies += [Reply(hangs=True)] * 6
        with clients(Endpoint(silent.url, embedded=True), read_seconds=0.05) as each:
            assert receive(each[0]) == "ReadTimeoutError"
            assert receive(each[1]) == "ReadTimeoutError"
    assert len(silent.asked) == 6
    assert len(pauses) == 8


def test_a_name_that_nobody_knows() -> None:
    """Such a name is refused without asking a name server."""
    patience = Patience(connect_seconds=1, read_seconds=1)
    with pytest.raises(EndpointConnectionError):
        Wire(f"http://{'x' * 64}/", patience, authorities="").post([], b"")


def test_what_came_is_in_no_representation() -> None:
    assert "CANARY" not in repr(Answer(200, [b"x: CANARY"], b"CANARY"))


class TestTls:
    """Certificates are checked, always: fault 83."""

    @pytest.fixture(autouse=True)
    def _settings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "sleep", lambda _: None)
        monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")

    def test_one_that_holds_is_taken(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        authority = Authority(tmp_path)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))
        with scripted(authority.context(LOOPBACK, NOW + timedelta(days=1))) as server:
            endpoint = Endpoint(server.url, region="us-east-1")
            with clients(endpoint) as each:
                assert [receive(client) for client in each] == [{"Messages": []}] * 2

    @pytest.mark.parametrize(
        ("name", "until", "trusted"),
        [
            (LOOPBACK, NOW - timedelta(days=1), True),
            (x509.DNSName("queue.test"), NOW + timedelta(days=1), True),
            (LOOPBACK, NOW + timedelta(days=1), False),
        ],
        ids=["expired", "another name", "an authority that nobody trusts"],
    )
    def test_one_that_does_not_hold_is_refused(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        name: x509.GeneralName,
        until: datetime,
        trusted: bool,
    ) -> None:
        authority = Authority(tmp_path)
        if trusted:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))
        with scripted(authority.context(name, until)) as server:
            with clients(Endpoint(server.url, region="us-east-1")) as each:
                assert [receive(client) for client in each] == ["SSLError"] * 2
            assert server.asked == []


@pytest.mark.parametrize(
    ("settings", "endpoint"),
    [
        ({}, Endpoint(region="eu-west-1")),
        ({"AWS_DEFAULT_REGION": "cn-north-1"}, Endpoint()),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, Endpoint(region="us-gov-west-1")),
        ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, Endpoint(region="eu-west-1")),
        ({"AWS_ENDPOINT_URL_SQS": "http://queue.test:9324"}, Endpoint(region="eu-west-1")),
        ({"AWS_ENDPOINT_URL": "https://queue.test/sqs"}, Endpoint(region="eu-west-1")),
        ({}, Endpoint("https://queue.test/sqs/", region="eu-west-1")),
    ],
)
def test_it_calls_where_boto3_calls(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], endpoint: Endpoint
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with clients(endpoint) as (client, lean):
        urls: list[str] = []

        def instead(request: AWSRequest, **_: object) -> AWSResponse:
            urls.append(str(request.url))
            raise InterruptedError

        client.meta.events.register("before-send.sqs", cast("Any", instead))
        with contextlib.suppress(InterruptedError):
            client.receive_message(QueueUrl=URL)
        assert lean.url == urls[0]


@pytest.mark.parametrize(("given", "lean"), [("lean", True), ("boto3", False)])
def test_a_run_goes_over_the_transport_of_the_settings(
    world: World, monkeypatch: pytest.MonkeyPatch, given: str, *, lean: bool
) -> None:
    outside = Outside.of({**world.environment, "PIPELINE_SQS_TRANSPORT": given})
    called: list[str] = []
    real = LeanClient.receive_message

    def noted(self: LeanClient, **request: Any) -> object:  # noqa: ANN401 - passed on
        called.append("lean")
        return real(self, **request)

    monkeypatch.setattr(LeanClient, "receive_message", noted)
    outside.queue_for_a_run(FEED).receive(1)
    assert called == ["lean"] * lean


class TestProxies:
    """As the environment names them, and only then."""

    def test_one_is_gone_through(
        self, server: ScriptedSqs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        with clients(Endpoint("http://queue.test", embedded=True)) as each:
            assert [receive(client) for client in each] == [{"Messages": []}] * 2
        assert [asked.target for asked in server.asked] == ["http://queue.test/"] * 2

    def test_none_for_whom_it_is_not(
        self, server: ScriptedSqs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with clients(Endpoint(server.url, embedded=True)) as each:
            assert [receive(client) for client in each] == [{"Messages": []}] * 2
        assert [asked.target for asked in server.asked] == ["/"] * 2
