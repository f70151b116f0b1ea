"""The client waits and tries again within bounds, and SQS's refusals become clear errors."""

import contextlib
import os
import socket
from pathlib import Path

import boto3
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline.errors import (
    CredentialsExpired,
    QueueError,
    QueueMissing,
    QueueUnreachable,
    SettingsError,
)
from pipeline.feeds.user_logins import FEED
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint, _embedded_session, make_client
from pipeline_tests.outside_world import refusing, silent_port, unused_port
from pipeline_tests.queue_fixtures import client_for
from pipeline_tests.samples import small


@pytest.fixture
def queue(sqs: SQSClient) -> SqsQueue:
    """The queue of `user_logins`, over a client that tries once."""
    return SqsQueue(sqs, small(), embedded=True)


@pytest.mark.parametrize(
    ("code", "status", "kind", "remedy"),
    [
        ("AWS.SimpleQueueService.NonExistentQueue", 400, QueueMissing, "Create it, or correct"),
        ("QueueDoesNotExist", 400, QueueMissing, "Create it, or correct"),
        ("AccessDenied", 403, QueueError, "the policy of the role"),
        ("AccessDeniedException", 403, QueueError, "the policy of the role"),
        ("InvalidClientTokenId", 403, QueueError, "the credentials"),
        ("SignatureDoesNotMatch", 403, QueueError, "this machine's clock"),
        ("InvalidSignatureException", 400, QueueError, "AWS_REGION"),
        ("RequestTimeTooSkewed", 403, QueueError, "this machine's clock"),
        ("RequestExpired", 400, QueueError, "this machine's clock"),
        ("ExpiredToken", 403, CredentialsExpired, "Renew the credentials"),
        ("ExpiredTokenException", 403, CredentialsExpired, "Renew the credentials"),
        ("KmsAccessDenied", 400, QueueError, "KMS key"),
        ("KmsDisabled", 400, QueueError, "KMS key"),
        ("KMS.DisabledException", 400, QueueError, "KMS key"),
        ("OverLimit", 403, QueueError, "OverLimit"),
        ("RequestThrottled", 400, QueueError, "RequestThrottled"),
        ("ServiceUnavailable", 503, QueueError, "ServiceUnavailable"),
    ],
)
def test_a_refusal_says_what_to_do(
    sqs: SQSClient, queue: SqsQueue, *, code: str, status: int, kind: type[QueueError], remedy: str
) -> None:
    """Faults 13, 14, 20 to 24."""
    with (
        refusing(sqs, "ReceiveMessage", code, status=status),
        pytest.raises(QueueError) as caught,
    ):
        queue.receive(10)

    assert type(caught.value) is kind
    assert remedy in caught.value.remedy
    assert "'login-queue'" in caught.value.what
    assert caught.value.feed == "user_logins"
    assert caught.value.__suppress_context__
    assert "withheld" not in str(caught.value)


def test_every_call_is_translated(sqs: SQSClient, queue: SqsQueue) -> None:
    """Fault 22."""
    calls = {
        "SendMessageBatch": lambda: queue.send([]),
        "DeleteMessageBatch": lambda: queue.delete([]),
        "ChangeMessageVisibilityBatch": lambda: queue.hide([], 1),
        "GetQueueAttributes": queue.depth,
    }
    for operation, call in calls.items():
        with (
            refusing(sqs, operation, "KmsAccessDenied"),
            pytest.raises(QueueError, match=f"refused {operation}"),
        ):
            call()
    with (
        refusing(sqs, "GetQueueUrl", "AccessDenied"),
        pytest.raises(QueueError, match="refused GetQueueUrl"),
    ):
        SqsQueue(sqs, FEED)


def test_throttling_is_tried_again(queue_endpoint: str) -> None:
    """Fault 13."""
    endpoint = Endpoint(queue_endpoint, embedded=True)
    with contextlib.closing(make_client(endpoint, read_seconds=5)) as client:
        queue = SqsQueue(client, small(), embedded=True)
        with refusing(client, "GetQueueAttributes", "RequestThrottled") as requests:
            assert queue.depth().total == 0

    assert len(requests) == 2


def test_an_expired_token_is_not_tried_again(queue_endpoint: str) -> None:
    """Fault 21."""
    endpoint = Endpoint(queue_endpoint, embedded=True)
    with contextlib.closing(make_client(endpoint, read_seconds=5)) as client:
        queue = SqsQueue(client, small(), embedded=True)
        with (
            refusing(client, "GetQueueAttributes", "ExpiredToken", status=403) as requests,
            pytest.raises(QueueError, match="ExpiredToken"),
        ):
            queue.depth()

    assert len(requests) == 1


def test_a_name_that_leads_nowhere_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults 13 and 24: a wrong region or endpoint, or a resolver that is down."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    endpoint = Endpoint("http://sqs.nowhere.invalid", embedded=True)
    with (
        contextlib.closing(make_client(endpoint, read_seconds=1)) as client,
        pytest.raises(QueueUnreachable, match="EndpointConnectionError") as caught,
    ):
        SqsQueue(client, FEED)

    assert "AWS_ENDPOINT_URL_SQS" in caught.value.remedy


def test_a_dead_endpoint_is_unreachable(aws_session: boto3.Session) -> None:
    """Fault 13."""
    with (
        unused_port() as port,
        contextlib.closing(client_for(f"http://127.0.0.1:{port}", aws_session)) as client,
        pytest.raises(QueueUnreachable, match="'login-queue' does not answer"),
    ):
        SqsQueue(client, FEED)


def test_an_endpoint_that_never_answers_is_given_up_after_three_attempts() -> None:
    """Fault 45."""
    with silent_port() as port:
        endpoint = Endpoint(f"http://127.0.0.1:{port}", embedded=True)
        with (
            contextlib.closing(make_client(endpoint, read_seconds=0.1)) as client,
            refusing(client, "GetQueueUrl", "unused", times=0) as requests,
            pytest.raises(QueueUnreachable, match="ReadTimeoutError"),
        ):
            SqsQueue(client, FEED)

    assert len(requests) == 3


def test_a_client_leaves_nothing_behind_in_the_session_that_all_share() -> None:
    """A process that lives for months makes one every ten minutes."""
    endpoint = Endpoint("http://127.0.0.1:1", embedded=True)
    grown = []
    for _ in range(2):
        make_client(endpoint, read_seconds=1).close()
        loader = _embedded_session().get_component("data_loader")
        grown.append(len(loader.search_paths))
    assert grown[0] == grown[1]


class TestSettings:
    """As boto3 finds them, with nothing but what a test sets."""

    @pytest.fixture(autouse=True)
    def _bare(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            (tmp_path / name).touch()
            monkeypatch.setenv(name, str(tmp_path / name))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def test_all_of_them_make_a_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _set(monkeypatch, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")

        with contextlib.closing(make_client(Endpoint(), read_seconds=7, connections=3)) as client:
            assert client.meta.region_name == "eu-west-1"
            assert client.meta.endpoint_url == "http://127.0.0.1:9"
            assert client.meta.config.read_timeout == 7  # type: ignore[attr-defined] # in no stub
            assert client.meta.config.max_pool_connections == 3  # type: ignore[attr-defined] # same

    @pytest.mark.parametrize("mode", ["legacy", "adaptive"])
    def test_how_calls_are_tried_again_is_no_setting(
        self, monkeypatch: pytest.MonkeyPatch, mode: str
    ) -> None:
        """Fault 13: what the environment of a machine says makes no bound another."""
        _set(monkeypatch, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        monkeypatch.setenv("AWS_RETRY_MODE", mode)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "50")

        with contextlib.closing(make_client(Endpoint(), read_seconds=7)) as client:
            retries = client.meta.config.retries  # type: ignore[attr-defined] # in no stub

        assert retries == {"mode": "standard", "total_max_attempts": 3}

    def test_an_endpoint_that_is_no_url_is_a_setting_to_correct(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        _set(monkeypatch, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
        with pytest.raises(SettingsError, match="AWS_ENDPOINT_URL_SQS is not a URL"):
            make_client(Endpoint("nonsense"), read_seconds=7)

    def test_a_region_that_is_given_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As it is read from AWS_REGION, which boto3 itself does not look at."""
        _set(monkeypatch, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")

        client = make_client(Endpoint(region="eu-west-1"), read_seconds=7)
        with contextlib.closing(client):
            assert client.meta.region_name == "eu-west-1"

    @pytest.mark.parametrize(
        ("names", "told"),
        [
            (["AWS_DEFAULT_REGION"], "NoCredentialsError"),
            (["AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID"], "PartialCredentialsError"),
            (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "NoRegionError"),
            (["AWS_PROFILE"], "ProfileNotFound"),
        ],
    )
    def test_missing_ones_are_named(
        self, monkeypatch: pytest.MonkeyPatch, names: list[str], told: str
    ) -> None:
        _set(monkeypatch, *names)

        with pytest.raises(SettingsError, match=told) as caught:
            make_client(Endpoint(), read_seconds=1)

        assert "AWS_REGION" in caught.value.remedy
        assert "some-value" not in str(caught.value)


def _set(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setenv(name, "some-value")
