"""Events go onto the queue in full calls, each with its id, and none is claimed that is not."""

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mypy_boto3_sqs import SQSClient

from pipeline.errors import QueueError, QueueMissing, SeedError
from pipeline.messages import Event
from pipeline.produce.seed import seed
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.outside_world import answered, refusing
from pipeline_tests.samples import small

_MIB = 2**20


@pytest.fixture
def queue(sqs: SQSClient) -> SqsQueue:
    """The queue of `user_logins`, just made."""
    return SqsQueue(sqs, small(visibility_seconds=60), embedded=True)


def _events(count: int, *, size: int = 2) -> list[Event]:
    return [Event(f"event-{place}", "x" * size) for place in range(count)]


def _overhead(event_id: str) -> int:
    """The bytes that SQS counts beside the body: the attribute's name, type and value."""
    return len("event_id") + len("String") + len(event_id)


def _calls(requests: list[AWSRequest]) -> list[list[dict[str, Any]]]:
    """The entries of each call."""
    return [json.loads(request.body or "")["Entries"] for request in requests]


def _event_id(entry: dict[str, Any]) -> str:
    event_id: str = entry["MessageAttributes"]["event_id"]["StringValue"]
    return event_id


def _ignore(_sent: int) -> None:
    pass


def _taken(queue: SqsQueue) -> Counter[tuple[str | None, str]]:
    """The event id and the body of every message that waits."""
    taken: Counter[tuple[str | None, str]] = Counter()
    while queue.depth().visible:
        taken.update((each.event_id, each.body) for each in queue.receive(10))
    return taken


def test_every_event_arrives_once_with_its_id(sqs: SQSClient, queue: SqsQueue) -> None:
    events = _events(95)

    with answered(sqs, "SendMessageBatch") as requests:
        assert seed(queue, iter(events), progress=_ignore) == 95

    assert sorted(len(entries) for entries in _calls(requests)) == [5, *[10] * 9]
    assert _taken(queue) == Counter((event.event_id, event.body) for event in events)


def test_an_event_that_is_sent_twice_keeps_its_id(queue: SqsQueue) -> None:
    """Fault 73."""
    event = Event("event-1", "{}")

    assert seed(queue, [event, event], progress=_ignore) == 2
    assert _taken(queue) == Counter({("event-1", "{}"): 2})


def test_nothing_to_send_is_no_call(sqs: SQSClient, queue: SqsQueue) -> None:
    with answered(sqs, "SendMessageBatch") as requests:
        assert seed(queue, [], progress=_ignore) == 0

    assert requests == []


def test_progress_is_told_as_it_is_made(queue: SqsQueue) -> None:
    told: list[int] = []

    seed(queue, _events(300), progress=told.append)

    assert told == sorted(told)
    assert told[-1] == 300
    assert len(told) > 10


class TestSizes:
    """Fault 25: SQS takes 1 MiB for a message and for a call, attributes included."""

    def test_an_event_of_exactly_the_limit_is_taken(self, queue: SqsQueue) -> None:
        event = Event("event-1", "x" * (_MIB - _overhead("event-1")))

        assert seed(queue, [event], progress=_ignore) == 1
        assert queue.depth().visible == 1

    def test_one_byte_more_is_refused_before_it_is_sent(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        event = Event("event-1", "x" * (_MIB - _overhead("event-1") + 1))

        with (
            answered(sqs, "SendMessageBatch") as requests,
            pytest.raises(SeedError, match="event 1 has 1048577 bytes"),
        ):
            seed(queue, [event], progress=_ignore)

        assert requests == []

    def test_bytes_are_counted_not_characters(self, queue: SqsQueue) -> None:
        with pytest.raises(SeedError, match="event 2 has"):
            seed(queue, [*_events(1), Event("big", "\u20ac" * (_MIB // 2))], progress=_ignore)

    def test_a_call_that_is_exactly_full_is_one_call(self, sqs: SQSClient, queue: SqsQueue) -> None:
        half = _MIB // 2 - _overhead("event-1")

        with answered(sqs, "SendMessageBatch") as requests:
            seed(queue, _events(2, size=half), progress=_ignore)
            seed(
                queue,
                [*_events(1, size=half), Event("event-1", "x" * (half + 1))],
                progress=_ignore,
            )

        assert [len(entries) for entries in _calls(requests[:1])] == [2]
        assert [len(entries) for entries in _calls(requests[1:])] == [1, 1]
        assert queue.depth().visible == 4

    @given(
        sizes=st.lists(st.sampled_from([1, 100, 50_000, 120_000, 400_000, 900_000]), max_size=24)
    )
    @settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.function_scoped_fixture],  # requests are counted anew
    )
    def test_no_call_exceeds_what_sqs_takes_and_none_could_be_saved(
        self, sqs: SQSClient, queue: SqsQueue, sizes: list[int]
    ) -> None:
        events = [Event(f"{place:03}", "x" * size) for place, size in enumerate(sizes)]

        with answered(sqs, "SendMessageBatch") as requests:
            assert seed(queue, events, progress=_ignore) == len(events)

        weights = {event.event_id: len(event.body) + _overhead("000") for event in events}
        calls = sorted([_event_id(entry) for entry in entries] for entries in _calls(requests))
        assert [event_id for call in calls for event_id in call] == list(weights)
        for call in calls:
            assert len(call) <= 10
            assert sum(weights[event_id] for event_id in call) <= _MIB
        for call, (following, *_) in itertools.pairwise(calls):
            total = sum(weights[event_id] for event_id in [*call, following])
            assert len(call) == 10 or total > _MIB


def _failing(place: int, *, final: bool, of: int) -> dict[str, object]:
    """An answer of SQS that takes all entries but one."""
    return {
        "Successful": [
            {"Id": str(each), "MessageId": "m", "MD5OfMessageBody": "0"}
            for each in range(of)
            if each != place
        ],
        "Failed": [{"Id": str(place), "Code": "InternalError", "SenderFault": final}],
    }


class TestPartialFailures:
    """Fault 75: a call that succeeds may have left some events behind."""

    def test_what_was_not_taken_is_sent_again(self, sqs: SQSClient, queue: SqsQueue) -> None:
        answer = _failing(2, final=False, of=5)
        with answered(sqs, "SendMessageBatch", answer) as requests:
            assert seed(queue, _events(5), progress=_ignore) == 5

        assert [len(entries) for entries in _calls(requests)] == [5, 1]
        assert _taken(queue) == Counter({("event-2", "xx"): 1})

    def test_what_is_refused_again_and_again_is_told(self, sqs: SQSClient, queue: SqsQueue) -> None:
        first, then = _failing(2, final=False, of=5), _failing(0, final=False, of=1)
        with (
            answered(sqs, "SendMessageBatch", first, *[then] * 9) as requests,
            pytest.raises(SeedError, match="refused 1 events again and again"),
        ):
            seed(queue, _events(5), progress=_ignore)

        assert len(requests) == 5

    def test_what_sqs_will_never_take_is_told_at_once(
        self, sqs: SQSClient, queue: SqsQueue
    ) -> None:
        answer = _failing(2, final=True, of=5)
        with (
            answered(sqs, "SendMessageBatch", answer) as requests,
            pytest.raises(SeedError, match="refused 1 events for what they hold"),
        ):
            seed(queue, _events(5), progress=_ignore)

        assert len(requests) == 1


class TestErrors:
    """Of SQS as a whole."""

    def test_a_refused_call_ends_it(self, sqs: SQSClient, queue: SqsQueue) -> None:
        """Fault 22."""
        with (
            refusing(sqs, "SendMessageBatch", "KmsDisabled"),
            pytest.raises(QueueError, match="KmsDisabled"),
        ):
            seed(queue, _events(5), progress=_ignore)

    def test_an_endless_source_is_not_read_far_ahead(self, sqs: SQSClient, queue: SqsQueue) -> None:
        """Fault 27: the memory that it takes does not depend on how many there are."""
        sqs.delete_queue(QueueUrl=queue.url)
        read = 0

        def endless() -> Iterator[Event]:
            nonlocal read
            while True:
                read += 1
                yield Event(f"event-{read}", "{}")

        with pytest.raises(QueueMissing):
            seed(queue, endless(), progress=_ignore)

        assert read <= 100
