"""What SQS refuses, or keeps silent about, costs no message more than a delivery."""

from collections.abc import Callable

import pytest

from pipeline.consume import stages
from pipeline.consume.batch import Account
from pipeline.consume.in_flight import waiting
from pipeline.errors import QueueError
from pipeline.local.queue.faults import (
    AnyEffect,
    Drop,
    Fail,
)
from pipeline.resources.sqs import Depth
from pipeline_tests.delivery_case import FEED, Delivery
from pipeline_tests.outside_world import KMS_REFUSALS


@pytest.mark.parametrize(
    "effect",
    [Drop(), Fail("InternalFailure"), Fail("ServiceUnavailable"), Fail("RequestThrottled")],
    ids=lambda effect: effect.kind,
)
@pytest.mark.parametrize("operation", ["ReceiveMessage", "DeleteMessageBatch"])
def test_what_passes_within_seconds_costs_nothing(
    way: Delivery, operation: str, effect: AnyEffect
) -> None:
    """Fault 13: a connection that is cut, 500, 503, throttling."""
    way.send(10)
    way.spoil(operation, effect, 1, 1)

    account, left = way.run()

    assert way.misbehaviour.counts[effect.kind] == 1
    assert (account, left) == (Account(received=10, loaded=10), 0)
    way.assert_settled(10)


def test_what_does_not_pass_is_given_up_within_few_calls_and_loses_nothing(way: Delivery) -> None:
    """Fault 13: bounded attempts of each receiver, and one error; what was received goes back."""
    way.send(30)
    way.spoil("ReceiveMessage", Fail("ServiceUnavailable"), 2, 10_000)

    with pytest.raises(QueueError, match="refused ReceiveMessage"):
        way.run()

    assert way.misbehaviour.calls["ReceiveMessage"] <= 1 + 3 * FEED.limits.receivers
    assert (way.users(), way.depth().total) == ([], 30)
    way.behave()
    assert way.drain() == Account(received=30, loaded=30)
    way.assert_settled(30)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        ("ExpiredToken", "Renew the credentials"),
        ("AccessDenied", "the policy of the role"),
        *((code, "KMS key") for code in KMS_REFUSALS),
    ],
)
def test_a_right_that_ends_in_the_middle_of_a_run_costs_one_delivery(
    way: Delivery, code: str, remedy: str
) -> None:
    """Faults 21 to 23: what was received goes back, what was not keeps its count, E says why."""
    way.send(30)
    way.spoil("ReceiveMessage", Fail(code), 2, 10_000)

    with pytest.raises(QueueError) as caught:
        way.run()

    assert code in caught.value.what
    assert remedy in caught.value.remedy
    assert (way.users(), way.witness.seen) == ([], 0)
    assert way.rows("SELECT count(*) FROM pipeline.quarantine") == [(0,)]
    way.behave()
    way.let_time_pass()
    assert sorted(receive_counts(way)) == [1] * 20 + [2] * 10


def receive_counts(way: Delivery) -> list[int]:
    """How often each message has been delivered, this time included."""
    hand = way.extract()
    counts = [entry.message.receive_count for entry in hand.batch.entries]
    way.load(hand)
    assert stages.acknowledge(hand) == 0
    way.assert_settled(len(counts))
    return counts


def test_a_right_that_ends_after_the_commit_fails_no_run(way: Delivery) -> None:
    """Fault 21: nothing is acknowledged, nothing is lost, and the next run has new credentials."""
    way.send(30)
    way.spoil("DeleteMessageBatch", Fail("ExpiredToken"))

    account, left = way.run()

    assert (account, left) == (Account(received=30, loaded=30), 30)
    way.behave()
    assert way.drain() == Account(received=30, duplicate=30)
    way.assert_settled(30)


def test_a_queue_with_too_much_in_flight_gives_nothing_and_says_nothing(
    deliveries: Callable[[int], Delivery],
) -> None:
    """Fault 14: a long poll finds nothing. The run ends, empty; nothing is concluded from it."""
    way = deliveries(5)
    way.send(15)
    somebody = way.sqs.receive_message(QueueUrl=way.url, MaxNumberOfMessages=10)
    assert len(somebody["Messages"]) == 5

    assert way.run() == (Account(received=0), 0)

    assert (way.depth().visible, way.depth().in_flight) == (10, 5)
    assert way.drain().loaded == 15
    way.assert_settled(15)


class TestTooMuchInFlight:
    """Fault 14: SQS does not say so, hence the sensor does."""

    @pytest.mark.parametrize("visible", [0, 1])
    @pytest.mark.parametrize("in_flight", [0, 109_999, 110_000, 120_000])
    def test_it_is_an_error_where_others_wait(self, visible: int, in_flight: int) -> None:
        depth = Depth(visible, in_flight, delayed=0)
        if visible and in_flight >= 110_000:
            with pytest.raises(QueueError, match=f"{in_flight} messages of queue 'login-queue'"):
                waiting(FEED, depth)
        else:
            assert waiting(FEED, depth) == visible
