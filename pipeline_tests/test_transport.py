"""The lean transport makes of every answer what boto3 makes of it, as often as boto3 asks.

Each case is played to both, and what they make of it is compared.
"""

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from mypy_boto3_sqs import SQSClient

from pipeline.errors import QueueError
from pipeline.feeds.user_logins import FEED
from pipeline.resources.sqs import SqsQueue
from pipeline.transport.client import LeanClient
from pipeline_tests.scripted_sqs import Reply
from pipeline_tests.transport_case import (
    ANSWER,
    DOWN,
    REPLIES,
    URL,
    Both,
    both,
    come_to,
    receive,
    server,
)

__all__ = ["both", "server"]


@pytest.mark.parametrize(
    "replies",
    REPLIES,
    ids=range(len(REPLIES)),
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


def test_no_error_holds_what_was_sent_or_came(both: Both) -> None:
    both.server.replies += [Reply(b"CANARY", 200, cut=3)] * 3
    with pytest.raises(BotoCoreError) as caught:
        both.lean.receive_message(QueueUrl="http://queue.test/CANARY")
    assert "CANARY" not in repr(caught.value) + str(caught.value)
    assert caught.value.__suppress_context__
