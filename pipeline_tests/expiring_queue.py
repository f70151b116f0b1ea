"""A queue whose clients' credentials expire, and the file in which those stand."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline.local.queue.server import QueueServer
from pipeline.local.queue.wire import Receive, Send
from pipeline_tests.queue_fixtures import client_for, serving
from pipeline_tests.test_traffic_ways import SigningApp
from pipeline_tests.world import lead_to, settings

_EXPIRED: Final = b'{"__type": "com.amazonaws.sqs#ExpiredToken", "message": "by the test"}'


class ExpiringApp(SigningApp):
    """The embedded queue, which refuses an access key from some moment on."""

    expired = ""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        signed = dict(scope["headers"])[b"authorization"].decode()
        if not self.expired or f"Credential={self.expired}/" not in signed:
            await super().__call__(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 403, "headers": []})
        await send({"type": "http.response.body", "body": _EXPIRED})


class Expiring:
    """What a test works with.

    Attributes:
        sqs: A client whose credentials do not expire.
        environment: Settings that lead there, as those of this process do.
    """

    def __init__(self, app: ExpiringApp, sqs: SQSClient, environment: dict[str, str]) -> None:
        self.sqs = sqs
        self.environment = environment
        self._app = app

    def write(self, name: str) -> None:
        """Puts an access key and a session's token into the shared file, as log-in tools do."""
        Path(self.environment["AWS_SHARED_CREDENTIALS_FILE"]).write_text(
            f"[default]\naws_access_key_id = {name}\naws_secret_access_key = x\n"
            "aws_session_token = of-the-session\n",
            encoding="utf-8",
        )

    def expire(self, name: str) -> None:
        """Refuses an access key from now on."""
        self._app.expired = name


@contextmanager
def expiring(
    folder: Path, aws: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Expiring]:
    """A queue `login-queue` with a dead-letter queue, and this process's settings for it."""
    with serving(QueueServer(app := ExpiringApp())) as url:
        sqs = client_for(url, aws)
        letters = sqs.create_queue(QueueName="letters")["QueueUrl"]
        told = sqs.get_queue_attributes(QueueUrl=letters, AttributeNames=["QueueArn"])
        arn = told["Attributes"]["QueueArn"]
        policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 1}}'
        sqs.create_queue(QueueName="login-queue", Attributes={"RedrivePolicy": policy})
        environment = settings(url, "postgresql://nobody@127.0.0.1:1/nothing", folder)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del environment[name]
        lead_to(environment, monkeypatch)
        yield Expiring(app, sqs, environment)
