"""Faults of the embedded queue as boto3 sees them, over HTTP."""

import contextlib
from collections.abc import Iterator

import boto3
import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from mypy_boto3_sqs import SQSClient

from pipeline.local.queue.faults import AnyEffect, Drop, Fail, LoseAnswer, Rule
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.server import QueueServer, create_app
from pipeline_tests.queue_fixtures import client_for, new_queues, serving

ON_Q = "http://localhost/000000000000/q"
Misbehaving = tuple[SQSClient, Misbehaviour]


@pytest.fixture(scope="module")
def misbehaving(aws_session: boto3.Session) -> Iterator[Misbehaving]:
    """A client of a queue over HTTP, and its misbehaviour."""
    queues, misbehaviour = new_queues(), Misbehaviour()
    queues.create("q", {}, {})
    with (
        serving(QueueServer(create_app(queues, misbehaviour))) as url,
        contextlib.closing(client_for(url, aws_session)) as sqs,
    ):
        yield sqs, misbehaviour


@pytest.mark.parametrize("effect", [Drop(), LoseAnswer()])
def test_boto3_sees_a_connection_that_was_cut_and_the_next_call_is_well(
    misbehaving: Misbehaving, effect: AnyEffect
) -> None:
    sqs, misbehaviour = misbehaving
    misbehaviour.set_rules([Rule("SendMessage", effect, calls=(1, 1))], 0)
    with pytest.raises(ConnectionClosedError):
        sqs.send_message(QueueUrl=ON_Q, MessageBody="a")
    assert "MessageId" in sqs.send_message(QueueUrl=ON_Q, MessageBody="a")


@pytest.mark.parametrize(
    ("effect", "code", "status"),
    [
        (Fail("RequestThrottled"), "RequestThrottled", 400),
        (Fail("InternalFailure"), "InternalFailure", 500),
        (Fail("ServiceUnavailable"), "ServiceUnavailable", 503),
        (Fail("ExpiredToken"), "ExpiredToken", 403),
        (Fail("QueueDoesNotExist"), "AWS.SimpleQueueService.NonExistentQueue", 400),
    ],
)
def test_boto3_sees_the_code_and_the_status(
    misbehaving: Misbehaving, effect: Fail, code: str, status: int
) -> None:
    sqs, misbehaviour = misbehaving
    misbehaviour.set_rules([Rule("*", effect)], 0)
    with pytest.raises(ClientError) as caught:
        sqs.send_message(QueueUrl=ON_Q, MessageBody="a")
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
