"""The lean transport does what boto3 does, whatever the answer; only the way of a call is its own.

Each case is played to both, and what they make of it is compared.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.credentials import ReadOnlyCredentials, RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from cryptography import x509
from mypy_boto3_sqs import SQSClient

from pipeline.errors import QueueError
from pipeline.feeds.user_logins import FEED
from pipeline.resources.outside import Outside
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint, make_clients
from pipeline.transport.client import LeanClient
from pipeline.transport.signature import Signer
from pipeline_tests.authority import LOOPBACK, NOW, Authority
from pipeline_tests.outside_world import unused_port
from pipeline_tests.scripted_sqs import SOUND, Reply, ScriptedSqs, refusal, scripted
from pipeline_tests.world import World

URL: Final = "http://queue.test/1/q"
ANSWER: Final = Reply(
    json.dumps(
        {
            "Messages": [
                {
                    "MessageId": "m-1",
                    "ReceiptHandle": "r-1",
                    "MD5OfBody": "not looked at here",
                    "Body": "ä \u2028 {}",
                    "Attributes": {"SentTimestamp": "1", "ApproximateReceiveCount": "2"},
                    "MessageAttributes": {
                        "event_id": {"DataType": "String", "StringValue": "e-1"},
                        "blob": {"DataType": "Binary", "BinaryValue": "AAH/"},
                    },
                }
            ]
        }
    ).encode()
)


@dataclass(frozen=True)
class Both:
    """The two clients of one server, and the pauses that they made."""

    boto3: SQSClient
    lean: LeanClient
    server: ScriptedSqs
    pauses: list[float]


@pytest.fixture
def server() -> Iterator[ScriptedSqs]:
    with scripted() as script:
        yield script


@pytest.fixture
def both(server: ScriptedSqs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Both]:
    """As a run makes them, but that nobody waits between attempts."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    with clients(Endpoint(server.url, embedded=True)) as (client, lean):
        yield Both(client, lean, server, pauses)


@contextlib.contextmanager
def clients(
    endpoint: Endpoint, *, read_seconds: float = 5.0
) -> Iterator[tuple[SQSClient, LeanClient]]:
    """Those of an endpoint."""
    client, lean = make_clients(endpoint, read_seconds=read_seconds, connections=2)
    assert isinstance(lean, LeanClient)
    with contextlib.closing(client):
        yield client, lean


def receive(client: SQSClient | LeanClient) -> object:
    """What a receive comes to, without what only boto3 adds."""
    return come_to(
        lambda: client.receive_message(
            QueueUrl=URL, MaxNumberOfMessages=10, MessageAttributeNames=["event_id"]
        )
    )


def come_to(call: Callable[[], Any]) -> object:
    """What a call comes to: its answer, or its error with the code and the class."""
    try:
        answer = call()
    except ClientError as error:
        told = cast("dict[str, Any]", error.response)
        metadata = told["ResponseMetadata"]
        del metadata["HTTPHeaders"]["date"]
        return type(error).__name__, error.operation_name, told["Error"], metadata
    except BotoCoreError as error:
        return type(error).__name__
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


THROTTLED: Final = refusal("RequestThrottled")
DOWN: Final = Reply(b"<html>down</html>", 503)


@pytest.mark.parametrize(
    "replies",
    [
        [ANSWER],
        [SOUND],
        [Reply(b'{"Messages": null}')],
        [Reply(b'{"Messages": [{"MessageId": 7, "New": {}}], "More": 1}')],
        [Reply(b'{"Messages": [{"Body": "\\ud800"}]}')],
        [Reply(b"")],
        [Reply(b"<html>log in</html>")],
        [Reply(b"<html>gone</html>", 404)],
        [Reply(b"", 302, {"Location": "http://elsewhere.test/"})],
        [refusal("AccessDenied", 403)],
        [refusal("QueueDoesNotExist", old="AWS.SimpleQueueService.NonExistentQueue")],
        [refusal("OverLimit", 403)],
        [refusal("KmsThrottled")],
        [refusal("ExpiredToken", 403)],
        [THROTTLED, ANSWER],
        [THROTTLED, THROTTLED, ANSWER],
        [THROTTLED] * 3,
        [refusal("ThrottlingException"), DOWN, ANSWER],
        [DOWN, ANSWER],
        [DOWN] * 3,
        [Reply(b"{}", 500)] * 3,
        [Reply(b"", 502), Reply(b"", 504), ANSWER],
        [DOWN, refusal("AccessDenied", 403)],
        [Reply(raw=b"")] * 3,
        [Reply(raw=b""), ANSWER],
        [Reply(raw=b"nonsense\r\n\r\n")] * 3,
    ],
    ids=range(26),
)
def test_it_makes_of_an_answer_what_boto3_makes_of_it(both: Both, replies: list[Reply]) -> None:
    seen = []
    for client in (both.boto3, both.lean):
        both.server.replies[:] = replies
        both.server.asked.clear()
        both.pauses.clear()
        seen.append((receive(client), len(both.server.asked), len(both.pauses)))

    assert seen[1] == seen[0]
    assert seen[0][1] == len(replies)


def test_an_answer_that_breaks_off_is_asked_for_again(both: Both) -> None:
    """boto3 reads what has come of it, and takes that for a queue that is empty."""
    both.server.replies += [replace(ANSWER, cut=20), ANSWER, ANSWER]
    assert receive(both.lean) == receive(both.boto3)

    both.server.replies[:] = [replace(ANSWER, cut=20)] * 3
    assert receive(both.lean) == "ConnectionClosedError"


def test_json_that_is_no_object_is_an_error_that_is_translated(both: Both) -> None:
    both.server.replies += [Reply(b'{"QueueUrl": "http://queue.test/1/q"}')]
    queue = SqsQueue(both.boto3, FEED, hot=both.lean)
    both.server.replies += [Reply(b'["CANARY"]')]
    with pytest.raises(QueueError, match=r"could not be used \(ResponseParserError\)") as caught:
        queue.receive(10)
    assert caught.value.__suppress_context__
    assert "CANARY" not in str(caught.value)


def test_a_batch_is_answered_for_each_entry(both: Both) -> None:
    failed = {"Id": "1", "SenderFault": True, "Code": "ReceiptHandleIsInvalid", "Message": "m"}
    body = json.dumps({"Successful": [{"Id": "0"}], "Failed": [failed]}).encode()
    both.server.replies += [Reply(body)] * 4
    entries: Any = [{"Id": "0", "ReceiptHandle": "r-0"}, {"Id": "1", "ReceiptHandle": "r-1"}]
    hidden: Any = [entry | {"VisibilityTimeout": 0} for entry in entries]
    clients = (both.boto3, both.lean)
    seen = [
        (
            come_to(partial(client.delete_message_batch, QueueUrl=URL, Entries=entries)),
            come_to(partial(client.change_message_visibility_batch, QueueUrl=URL, Entries=hidden)),
        )
        for client in clients
    ]

    assert seen[0] == seen[1] == ({"Successful": [{"Id": "0"}], "Failed": [failed]},) * 2
    asked = [json.loads(each.body) for each in both.server.asked]
    assert asked[:2] == asked[2:]


def test_it_asks_as_boto3_asks(both: Both) -> None:
    receive(both.boto3)
    receive(both.lean)

    boto3s, ours = both.server.asked
    assert (ours.target, json.loads(ours.body)) == (boto3s.target, json.loads(boto3s.body))
    for name in ("content-type", "host", "x-amz-target", "x-amzn-query-mode"):
        assert ours.headers[name] == boto3s.headers[name], name
    assert boto3s.headers["user-agent"].startswith(ours.headers["user-agent"])
    assert "expect" not in ours.headers


def test_retries_cost_of_one_budget_whoever_makes_them(both: Both) -> None:
    """Botocore's quota, which it keeps for a client: a machine that is down is left alone."""
    exhaust(both)
    for client in (both.boto3, both.lean):
        both.server.asked.clear()
        assert receive(client) == receive(both.boto3)
        assert len(both.server.asked) == 2
    assert both.pauses == []


def test_what_goes_well_fills_the_budget_again(both: Both) -> None:
    exhaust(both)
    both.server.replies.clear()
    for _ in range(20):
        delete(both.lean)

    both.server.replies += [DOWN]
    delete(both.lean)
    assert len(both.pauses) == 1


def delete(client: SQSClient | LeanClient) -> object:
    """What a delete comes to, after which botocore makes no pause of its own."""
    return come_to(lambda: client.delete_message_batch(QueueUrl=URL, Entries=[]))


def exhaust(both: Both) -> None:
    """Has calls fail until none of them is tried again; from here on all of them fail."""
    both.server.replies += [DOWN] * 1_000
    while both.pauses or not both.server.asked:
        both.pauses.clear()
        delete(both.lean)
    assert len(both.server.asked) < 100


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


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with clients(Endpoint("http://sqs.nowhere.invalid", embedded=True)) as (_, lean):
        assert receive(lean) == "EndpointConnectionError"


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


class TestSignature:
    """As botocore signs, bit for bit."""

    @pytest.mark.parametrize("token", [None, "a/session+token=="])
    @pytest.mark.parametrize(
        "url",
        [
            "https://sqs.eu-west-1.amazonaws.com/",
            "http://127.0.0.1:4566/",
            "https://queue.test:443/",
            "http://Queue.Test:80/",
            "http://[::1]:9324/",
            "http://gateway.test/to/./sqs a/",
        ],
    )
    def test_it_is_botocores(self, url: str, token: str | None) -> None:
        credentials = ReadOnlyCredentials("AKIDEXAMPLE", "wJalr/secret+key", token)
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.X"}
        body = '{"QueueUrl": "ä"}'.encode()
        request = AWSRequest("POST", url, headers, body)
        SigV4Auth(cast("Any", credentials), "sqs", "eu-west-1").add_auth(request)
        at = datetime.strptime(f"{request.headers['X-Amz-Date']}+0000", "%Y%m%dT%H%M%SZ%z")

        signer = Signer(url, "eu-west-1", "sqs")
        signed = signer.sign(headers, body, credentials, at.timestamp())

        assert signed["authorization"] == request.headers["Authorization"]
        assert signed["x-amz-date"] == request.headers["X-Amz-Date"]
        assert signed.get("x-amz-security-token") == token

    def test_the_next_day_and_the_next_secret_have_keys_of_their_own(self) -> None:
        one, other = (ReadOnlyCredentials("key", secret, None) for secret in ("one", "other"))
        turns = [(one, 0.0), (one, 86_400.0), (one, 0.0), (other, 0.0)]

        def signer() -> Signer:
            return Signer("https://queue.test/", "eu-west-1", "sqs")

        kept = signer()
        again = [kept.sign({}, b"", who, at)["authorization"] for who, at in turns]
        assert again == [signer().sign({}, b"", who, at)["authorization"] for who, at in turns]
        assert len(set(again)) == 3


def test_credentials_that_are_renewed_sign_the_next_call(both: Both) -> None:
    """Fault 21: a session token that runs out in the middle of a run."""
    tokens = iter(["first", "second"])
    now = [datetime(2026, 1, 1, tzinfo=UTC)]

    def renew() -> dict[str, str]:
        until = (now[0] + timedelta(hours=1)).isoformat()
        token = next(tokens)
        return {"access_key": "k", "secret_key": "s", "token": token, "expiry_time": until}

    credentials = RefreshableCredentials.create_from_metadata(
        renew(), renew, "test", **cast("Any", {})
    )
    credentials._time_fetcher = lambda: now[0]  # type: ignore[attr-defined] # noqa: SLF001 - its clock
    lean = both.lean
    lean._credentials = cast("Any", credentials)  # noqa: SLF001 - those of a role
    receive(lean)
    now[0] += timedelta(minutes=50)
    receive(lean)
    assert [each.headers["x-amz-security-token"] for each in both.server.asked] == [
        "first",
        "second",
    ]


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


def test_no_error_holds_what_was_sent_or_came(both: Both) -> None:
    both.server.replies += [Reply(b"CANARY", 200, cut=3)] * 3
    with pytest.raises(BotoCoreError) as caught:
        both.lean.receive_message(QueueUrl="http://queue.test/CANARY")
    assert "CANARY" not in repr(caught.value) + str(caught.value)
    assert caught.value.__suppress_context__
