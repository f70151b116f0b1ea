"""Many calls of one thread come to what each would have come to alone, trouble and all."""

import json
import time
from collections.abc import Sequence
from contextlib import closing

import pytest

from pipeline.errors import QueueError, QueueUnreachable
from pipeline.feeds.user_logins import FEED
from pipeline.messages import Message, Refusals
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint
from pipeline_tests.outside_world import all_of
from pipeline_tests.samples import message
from pipeline_tests.scripted_sqs import Reply, refusal, scripted
from pipeline_tests.transport_case import ANSWER, DOWN, REPLIES, Both, both, clients, server

__all__ = ["both", "server"]

FOUND = Reply(b'{"QueueUrl": "http://queue.test/1/q"}')
EMPTY = Reply(b"{}")


def queue_of(both: Both) -> SqsQueue:
    """The queue over the lean transport; the server is ready for calls."""
    both.server.replies[:] = [FOUND]
    queue = SqsQueue(both.boto3, FEED, hot=both.lean)
    both.server.asked.clear()
    return queue


def alone(queue: SqsQueue) -> object:
    """What one receive comes to."""
    try:
        return [(each.body, each.event_id) for each in queue.receive(10)]
    except Exception as error:  # noqa: BLE001 - of whatever kind
        return repr(error)


def told(outcome: list[Message] | Exception) -> object:
    """The same of a call among many."""
    if isinstance(outcome, Exception):
        return repr(outcome)
    return [(each.body, each.event_id) for each in outcome]


@pytest.mark.parametrize("replies", REPLIES, ids=range(len(REPLIES)))
def test_each_comes_to_what_it_would_alone(both: Both, replies: list[Reply]) -> None:
    queue = queue_of(both)
    both.server.replies[:] = replies
    expected, asked, pauses = alone(queue), len(both.server.asked), len(both.pauses)
    both.server.asked.clear()
    both.pauses.clear()
    both.server.replies[:] = replies

    with closing(queue.receives(4)) as calls:
        calls.begin(10)
        outcomes = all_of(calls)

    assert [told(outcome) for outcome in outcomes] == [expected]
    assert (len(both.server.asked), len(both.pauses)) == (asked, pauses)


def test_one_in_trouble_keeps_no_other_from_its_answer(both: Both) -> None:
    queue = queue_of(both)
    both.server.replies[:] = [refusal("AccessDenied", 403), ANSWER, ANSWER, ANSWER]

    with closing(queue.receives(4)) as calls:
        for _ in range(4):
            calls.begin(10)
        assert calls.under_way == 4
        outcomes = all_of(calls)

    failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert [type(error) for error in failed] == [QueueError]
    assert len(outcomes) == 4
    assert len(both.server.asked) == 4


def test_one_that_cannot_be_read_keeps_no_other_from_being_told(both: Both) -> None:
    """It is JSON as SQS writes it, but for what every message has."""
    queue = queue_of(both)
    both.server.replies[:] = [Reply(b'{"Messages": [{"Body": "{}"}]}'), EMPTY, EMPTY]

    with closing(queue.receives(3)) as calls:
        for _ in range(3):
            calls.begin(10)
        try:
            outcomes = all_of(calls)
        except KeyError:
            pytest.fail("the others are not told of")

    assert sorted(map(repr, outcomes)) == ["KeyError('Attributes')", "[]", "[]"]


def test_the_next_calls_go_over_the_connections_of_those_before(both: Both) -> None:
    queue = queue_of(both)
    for _ in range(3):
        both.server.replies[:] = [EMPTY] * 4
        with closing(queue.receives(4)) as calls:
            for _ in range(4):
                calls.begin(10)
            all_of(calls)

    # One more was made when the queue was looked up.
    assert both.server.connections <= 1 + 4


def test_what_was_retried_costs_of_the_budget_of_all(both: Both) -> None:
    queue = queue_of(both)
    both.server.replies[:] = [DOWN] * 1_000
    while both.pauses or not both.server.asked:
        both.pauses.clear()
        with closing(queue.receives(1)) as calls:
            calls.begin(10)
            all_of(calls)

    both.server.asked.clear()
    alone(queue)
    assert len(both.server.asked) == 1 + (len(both.pauses) > 0)
    assert both.pauses == []


def test_deletes_are_answered_for_each_message(both: Both) -> None:
    queue = queue_of(both)
    failed = {"Id": "1", "SenderFault": True, "Code": "ReceiptHandleIsInvalid", "Message": "m"}
    answer = json.dumps({"Successful": [{"Id": "0"}], "Failed": [failed]}).encode()
    both.server.replies[:] = [Reply(answer)]
    portion: Sequence[Message] = [message("{}"), message("{}")]

    with closing(queue.deletes(2)) as calls:
        calls.begin(portion)
        ended = []
        while calls.under_way:
            ended += calls.ended()
        ((asked, refusals),) = ended

    assert asked is portion
    assert refusals == Refusals(final=(portion[1],))
    (request,) = both.server.asked
    assert [each["ReceiptHandle"] for each in json.loads(request.body)["Entries"]] == [
        each.receipt for each in portion
    ]


def test_closing_waits_for_what_is_under_way(both: Both) -> None:
    queue = queue_of(both)
    both.server.replies[:] = [ANSWER, ANSWER]
    calls = queue.receives(2)
    calls.begin(10)
    calls.begin(10)
    calls.close()

    assert len(both.server.asked) == 2
    assert alone(queue) == []
    assert len(both.server.asked) == 3


def test_one_that_gets_no_answer_is_tried_again_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    monkeypatch.setattr("pipeline.resources.sqs_client._CONNECT_SECONDS", 0.2)
    with scripted() as silent:
        silent.replies += [FOUND]
        with clients(Endpoint(silent.url, embedded=True), read_seconds=0.05) as (client, lean):
            queue = SqsQueue(client, FEED, hot=lean)
            silent.asked.clear()
            silent.replies += [Reply(hangs=True), EMPTY, EMPTY]
            with closing(queue.receives(2)) as calls:
                calls.begin(10)
                calls.begin(10)
                assert all_of(calls) == [[], []]
            assert (len(silent.asked), len(pauses)) == (3, 1)
            silent.replies += [Reply(hangs=True)] * 3
            with closing(queue.receives(1)) as calls:
                calls.begin(10)
                (outcome,) = all_of(calls)
    assert isinstance(outcome, QueueUnreachable)
    assert "ReadTimeoutError" in str(outcome)
