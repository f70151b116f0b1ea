"""Requests that arrive together travel together, and each is answered for its own message."""

import asyncio
from collections.abc import Iterator

import boto3
import httpx
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline.contract import Feed, Field
from pipeline.masking.policies import Keep
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES, weigh
from pipeline.types import Text
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.outside_world import answered
from pipeline_tests.rest_case import LOGINS, Rest, observed_queue, quick, rest
from pipeline_tests.samples import eventually, login

_SEND = "SendMessageBatch"
_MESSAGES = 120
_NOTES = Feed(
    name="notes",
    description="Long notes.",
    queue="notes-queue",
    table="notes",
    fields=(Field("note", Text(2_000_000), Keep()),),
)


@pytest.fixture(scope="module")
def observed(aws_session: boto3.Session) -> Iterator[tuple[SQSClient, ObservedApp]]:
    """A queue of this file's own, with its calls."""
    with observed_queue(aws_session) as pair:
        yield pair


def _together(running: Rest, bodies: list[object]) -> list[httpx.Response]:
    """The answers to requests that are all sent at the same time, in the order of the bodies."""

    async def send() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=len(bodies))
        async with httpx.AsyncClient(base_url=running.url, limits=limits, timeout=30) as http:
            return await asyncio.gather(*(http.post(LOGINS, json=each) for each in bodies))

    return asyncio.run(send())


def _logins(count: int) -> list[object]:
    return [login(user_id=f"user-{place}") for place in range(count)]


def test_under_load_at_most_15_calls_of_sqs_take_100_messages(
    observed: tuple[SQSClient, ObservedApp],
) -> None:
    """Load without a clock: SQS answers no call until every request has arrived."""
    sqs, app = observed
    with rest(sqs, limits=quick(calls=4)) as running:
        room, before = running.service.room, app.calls[_SEND]
        app.hooks[_SEND, before + 1] = lambda: eventually(lambda: room.messages == _MESSAGES)
        answers = _together(running, _logins(_MESSAGES))
        calls = app.calls[_SEND] - before
        assert {each.status_code for each in answers} == {202}
        assert calls <= 0.15 * _MESSAGES
        assert running.metric("queue_calls_total") == calls
        assert running.metric("messages_total", outcome="sent") == _MESSAGES
        sent = running.queued()
    for body, answer in zip(_logins(_MESSAGES), answers, strict=True):
        assert sent[answer.json()["event_id"]] == body


def test_gathering_can_be_turned_off(observed: tuple[SQSClient, ObservedApp]) -> None:
    sqs, app = observed
    with rest(sqs, limits=quick(per_call=1, linger_seconds=0)) as running:
        before = app.calls[_SEND]
        _together(running, _logins(20))
        assert app.calls[_SEND] - before == 20
        running.queued()


def test_requests_wait_for_company(observed: tuple[SQSClient, ObservedApp]) -> None:
    """Ten requests make a call, however long that takes: nothing else ends this linger."""
    sqs, app = observed
    with rest(sqs, limits=quick(linger_seconds=3_600.0, patience_seconds=7_200.0)) as running:
        before = app.calls[_SEND]
        assert {each.status_code for each in _together(running, _logins(10))} == {202}
        assert app.calls[_SEND] - before == 1
        running.queued()


def test_what_fills_a_call_does_not_wait_for_company(
    observed: tuple[SQSClient, ObservedApp],
) -> None:
    sqs, app = observed
    with rest(sqs, limits=quick(linger_seconds=3_600.0, patience_seconds=7_200.0)) as running:
        before = app.calls[_SEND]
        assert running.post(_logins(30)).status_code == 202
        assert app.calls[_SEND] - before == 3
        running.queued()


def test_a_call_is_full_by_bytes_too(observed: tuple[SQSClient, ObservedApp]) -> None:
    """Fault 25: the sum of a call may not exceed 1 MiB."""
    sqs, app = observed
    with rest(sqs, limits=quick(pending_bytes=2**24), served=(_NOTES,)) as running:
        before = app.calls[_SEND]
        answer = running.post([{"note": "x" * 400_000}] * 5, "/v1/feeds/notes/messages")
        assert answer.status_code == 202
        assert app.calls[_SEND] - before == 3
        running.queued(_NOTES)


@pytest.mark.parametrize(("over", "status"), [(0, 202), (1, 413)])
def test_a_record_may_be_as_large_as_a_message(
    observed: tuple[SQSClient, ObservedApp], over: int, status: int
) -> None:
    """Fault 25: 1 MiB, with the event id that travels beside it."""
    event_id = "rest:local:a"
    room = BYTES - weigh(Event(event_id, '{"note":""}')) + over
    with rest(observed[0], served=(_NOTES,)) as running:
        body = f'{{"note":"{"x" * room}"}}'.encode()
        answer = running.post(body, "/v1/feeds/notes/messages", headers={"event-id": "a"})
        assert answer.status_code == status
        assert len(running.queued(_NOTES)) == 1 - over


def test_each_record_gets_its_own_outcome(observed: tuple[SQSClient, ObservedApp]) -> None:
    """Fault 75: SQS takes one, refuses one for good, and takes one at the second try."""
    sqs, _ = observed
    first: dict[str, object] = {
        "Successful": [{"Id": "0", "MessageId": "m-0", "MD5OfMessageBody": "0"}],
        "Failed": [
            {"Id": "1", "Code": "InvalidMessageContents", "SenderFault": True},
            {"Id": "2", "Code": "InternalError", "SenderFault": False},
        ],
    }
    with rest(sqs) as running, answered(sqs, _SEND, first) as requests:
        answer = running.post(_logins(3))
        items = answer.json()["items"]
        assert answer.status_code == 207
        assert [each["status"] for each in items] == [202, 422, 202]
        assert items[0]["message_id"] == "m-0"
        assert items[1]["error"]["type"] == "/problems/refused-by-queue"
        assert len(requests) == running.metric("queue_calls_total") == 2
        assert [each["user_id"] for each in running.queued().values()] == ["user-2"]


def test_what_sqs_refuses_again_and_again_is_503(
    observed: tuple[SQSClient, ObservedApp],
) -> None:
    sqs, _ = observed
    never: dict[str, object] = {
        "Successful": [],
        "Failed": [{"Id": "0", "Code": "InternalError", "SenderFault": False}],
    }
    with rest(sqs) as running, answered(sqs, _SEND, *[never] * 5):
        answer = running.post(login())
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert running.metric("messages_total", outcome="failed") == 1
        assert running.queued() == {}
