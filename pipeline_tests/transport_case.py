"""The two clients of a scripted server: boto3's, and the lean one beside it."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from mypy_boto3_sqs import SQSClient

from pipeline.resources.sqs_client import Endpoint, make_clients
from pipeline.transport.client import LeanClient
from pipeline_tests.scripted_sqs import SOUND, Reply, ScriptedSqs, refusal, scripted

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
REPLIES: Final = [
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
]
"""What SQS may answer to one call, attempt after attempt."""
