"""Whatever SQS does with deliveries, each event is one row, and nothing is deleted too early."""

import json
from collections import Counter
from typing import Final

import pytest

from pipeline.consume import stages
from pipeline.consume.batch import Account
from pipeline.local.queue.faults import (
    AnyEffect,
    Duplicate,
    Empty,
    LoseAnswer,
    Part,
    Redeliver,
    Reorder,
    Short,
    Undelete,
)
from pipeline_tests.delivery_case import Delivery, body
from pipeline_tests.samples import eventually, login, small

KEPT: Final = 10
"""Messages of a call."""


class TestComingAgain:
    """One event, several deliveries."""

    def test_in_one_answer(self, way: Delivery) -> None:
        """Fault 1: a message twice in a batch, each time with a receipt of its own."""
        way.send(30)
        way.spoil("ReceiveMessage", Duplicate())

        account, left = way.run()

        doubled = way.misbehaviour.counts["duplicate"]
        assert account == Account(received=30 + doubled, loaded=30, duplicate=doubled)
        assert (doubled > 2, left) == (True, 0)
        way.assert_settled(30)

    def test_after_its_delete(self, way: Delivery) -> None:
        """Fault 2: SQS may deliver what it has deleted."""
        way.send(30)
        way.spoil("DeleteMessageBatch", Undelete())
        assert way.run()[0].loaded == 30
        undeleted = way.misbehaviour.counts["undelete"]
        way.behave()

        account, _ = way.run()

        assert account == Account(received=undeleted, duplicate=undeleted)
        assert undeleted == 3
        way.assert_settled(30)

    def test_before_its_time_so_that_the_first_receipt_deletes_nothing(self, way: Delivery) -> None:
        """Fault 7: SQS says that it has deleted, and delivers the message once more."""
        way.send(20)
        hand = way.extract()
        way.let_time_pass()
        way.spoil("ReceiveMessage", Redeliver(seconds=0))
        way.sqs.receive_message(QueueUrl=way.url, MaxNumberOfMessages=10)
        way.behave()

        assert stages.acknowledge(way.load(hand)) == 0

        assert (len(way.users()), way.depth().total) == (20, 10)
        assert way.drain() == Account(received=10, duplicate=10)
        way.assert_settled(20)

    def test_to_two_runs_that_both_go_on(self, way: Delivery) -> None:
        """Faults 3 and 5: the visibility of what one holds has gone, and another received it."""
        way.send(40)
        first = way.extract()
        way.let_time_pass()
        second = way.extract()
        assert (first.batch.received, second.batch.received) == (40, 40)

        later = way.load(second)
        earlier = way.load(first)

        assert later.account == Account(received=40, loaded=40)
        assert earlier.account == Account(received=40, duplicate=40)
        assert [stages.acknowledge(hand) for hand in (earlier, later)] == [0, 0]
        way.assert_settled(40)

    def test_of_which_the_second_gave_up(self, way: Delivery) -> None:
        """Fault 5: the first goes on with receipts that are no longer good."""
        way.send(10)
        first = way.extract()
        way.let_time_pass()
        second = way.extract()
        second.held.release()

        assert stages.acknowledge(way.load(first)) == 0

        assert way.depth().total == 10  # by the documentation: success, and nothing is deleted
        assert way.drain() == Account(received=10, duplicate=10)
        way.assert_settled(10)


def test_in_any_order_the_first_of_two_versions_wins_and_the_other_is_reported(
    way: Delivery,
) -> None:
    """Fault 4: in the order in which they come. No contract here has versions."""
    bodies = {f"event-{n}": body(n) for n in range(30)}
    way.send(bodies=bodies)
    way.send(bodies={"event-7": json.dumps(login(user_id="user-7", locale="FR"))})
    way.spoil("ReceiveMessage", Reorder())

    account, _ = way.run()

    assert way.misbehaviour.counts["reorder"] > 1
    assert (account.received, account.loaded, account.quarantined) == (31, 30, {"conflict": 1})
    assert way.rows("SELECT reason, count(*) FROM pipeline.quarantine GROUP BY 1") == [
        ("conflict", 1)
    ]
    way.assert_settled(30)


def test_a_later_version_changes_nothing_of_the_row(way: Delivery) -> None:
    """Fault 4: it comes when the first has been settled; of the same user, elsewhere."""
    for locale in ("FR", "RU"):
        way.send(bodies={"event-0": json.dumps(login(user_id="user-0", locale=locale))})
        account, _ = way.run()

    assert account == Account(received=1, quarantined=Counter(conflict=1))
    assert way.rows("SELECT locale FROM user_logins") == [("FR",)]
    way.assert_settled(1)


@pytest.mark.parametrize("effect", [Short(most=1), Empty()], ids=["short", "empty"])
def test_answers_with_less_than_waits_do_not_end_a_batch(way: Delivery, effect: AnyEffect) -> None:
    """Fault 12: a poll that met the wrong hosts of SQS."""
    way.send(30)
    way.spoil("ReceiveMessage", effect, *((1, 1) if effect == Empty() else ()))

    account, left = way.run()

    assert (account, left) == (Account(received=30, loaded=30), 0)
    assert sum(way.misbehaviour.counts.values()) > 0
    way.assert_settled(30)


class TestAcknowledging:
    """What can become of a delete, once everything is committed: no run fails for it."""

    @pytest.mark.parametrize("done", [False, True], ids=["not done", "done in fact"])
    def test_what_is_refused_for_now_is_tried_again(
        self,
        way: Delivery,
        done: bool,  # noqa: FBT001 - a parameter of the test
    ) -> None:
        """Fault 8: an answer of 200 that says `Failed` of parts."""
        way.send(30)
        way.spoil("DeleteMessageBatch", Part(done=done), 1, 3)

        account, left = way.run()

        assert (account, left) == (Account(received=30, loaded=30), 0)
        assert way.misbehaviour.counts["part:InternalError"] == 3
        # What is left of the three calls, fifteen messages, goes together.
        assert way.misbehaviour.calls["DeleteMessageBatch"] == 5
        way.assert_settled(30)

    def test_what_is_refused_for_good_is_not_tried_again(self, way: Delivery) -> None:
        """Fault 8: `SenderFault`. It comes again, and is a duplicate."""
        way.send(KEPT)
        way.spoil("DeleteMessageBatch", Part(sender_fault=True, share=1.0))

        account, left = way.run()

        assert (account, left) == (Account(received=KEPT, loaded=KEPT), KEPT)
        assert way.misbehaviour.calls["DeleteMessageBatch"] == 1
        way.behave()
        assert way.drain() == Account(received=KEPT, duplicate=KEPT)
        way.assert_settled(KEPT)

    def test_an_answer_that_is_lost_is_asked_for_again(self, way: Delivery) -> None:
        """Fault 9: they were deleted; to delete them once more is harmless."""
        way.send(30)
        way.spoil("DeleteMessageBatch", LoseAnswer(), 1, 1)

        account, left = way.run()

        assert (account, left) == (Account(received=30, loaded=30), 0)
        assert way.misbehaviour.calls["DeleteMessageBatch"] == 4
        way.assert_settled(30)

    def test_a_crash_before_it_is_settled_by_the_redelivery(self, way: Delivery) -> None:
        """Fault 10."""
        way.send(30)
        way.load(way.extract()).held.close()
        assert (len(way.users()), way.depth().in_flight) == (30, 30)

        assert way.drain() == Account(received=30, duplicate=30)
        way.assert_settled(30)

    @pytest.mark.parametrize("gone", ["purged", "deleted"])
    def test_a_queue_that_is_gone_fails_no_committed_run(self, way: Delivery, gone: str) -> None:
        """Fault 20: in the middle of a run."""
        way.send(30)
        hand = way.load(way.extract())
        if gone == "purged":
            way.sqs.purge_queue(QueueUrl=way.url)
        else:
            way.sqs.delete_queue(QueueUrl=way.url)

        left = stages.acknowledge(hand)

        assert hand.account == Account(received=30, loaded=30)
        assert left == (0 if gone == "purged" else 30)
        assert len(way.users()) == 30


def test_messages_of_a_receive_whose_answer_was_lost_come_with_the_next_run(way: Delivery) -> None:
    """Fault 11: they are invisible, and nobody holds them."""
    way.send(30)
    way.spoil("ReceiveMessage", LoseAnswer(), 1, 1)

    account, _ = way.run()

    assert account == Account(received=20, loaded=20)
    assert way.depth().in_flight == 10
    way.behave()
    assert way.drain() == Account(received=10, loaded=10)
    way.assert_settled(30)


@pytest.mark.parametrize("code", ["ReceiptHandleIsInvalid", "MessageNotInflight"])
def test_a_heartbeat_that_is_refused_fails_no_run(
    way: Delivery, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Fault 6: somebody else receives them meanwhile; both commit, and the ledger settles it."""
    way.send(10)
    way.spoil("ChangeMessageVisibilityBatch", Part(code=code, sender_fault=True, share=1.0))
    hand = way.extract(small(visibility_seconds=1))
    eventually(lambda: way.misbehaviour.counts[f"part:{code}"] > 1)
    way.let_time_pass()
    again = way.extract()

    assert way.load(hand).account == Account(received=10, loaded=10)
    assert way.load(again).account == Account(received=10, duplicate=10)

    assert [stages.acknowledge(each) for each in (hand, again)] == [0, 0]
    assert "did not change the visibility of 10 messages" in caplog.text
    way.assert_settled(10)
