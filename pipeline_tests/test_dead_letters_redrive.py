"""Dead letters go back to their own queue as who they were: counted, recorded, each loaded once."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from pipeline.errors import AuditRefused, QueueError, QueueMissing, SettingsError
from pipeline.messages import Event, Message, Refusals, Sent
from pipeline.operate.dead_letters.copying import Copying
from pipeline.operate.dead_letters.look import look
from pipeline.operate.dead_letters.order import Tally, ways
from pipeline.operate.dead_letters.redrive import find, redrive
from pipeline.resources.dead_letter_queue import LetterQueue
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint
from pipeline_tests.dead_letter_case import (
    DAYS,
    KEYED,
    arn_of,
    bury,
    bury_another_queues,
    depth,
    give_up,
    logins,
    on_aws,
    order,
    outside,
    recorded,
    with_dead_letters,
)
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import CLOCK_DAY, World


def redriven(world: World, **changes: Any) -> Tally:  # noqa: ANN401 - whatever an order may have
    stop = threading.Event()
    if changes.get("way") == "move":
        stop.set()  # on a clock that stands still a move would never end
    return redrive(outside(world), order(**changes), stop=stop, tell=print)


@pytest.mark.parametrize("named", [True, False])
def test_what_is_copied_is_loaded_once_under_the_day_of_its_first_sending(
    world: World, *, named: bool
) -> None:
    """Faults 17 and 18: the redrive is two days later, and there is no event id either."""
    letters = bury(world, logins(23), named=named)
    world.clock.now += 2 * DAYS
    assert redriven(world) == Tally(moved=23)
    assert (world.depth(), depth(world, letters)) == ((23, 0), (0, 0))
    world.ingest()
    assert world.query("SELECT DISTINCT create_date FROM user_logins") == [(CLOCK_DAY,)]
    assert world.query("SELECT count(*), count(DISTINCT user_id) FROM user_logins") == [(23, 23)]


def test_a_letter_that_was_loaded_before_is_a_duplicate(world: World) -> None:
    """Faults 8 and 18: SQS kept what a run had committed, and gave up on it later."""
    letters = with_dead_letters(world)
    for body in logins(12):
        world.sqs.send_message(QueueUrl=world.queue_url, MessageBody=body)
    with world.app.gate("DeleteMessageBatch", 1) as gate:
        world.app.let_fail(gate)
        assert world.ingest()["not acknowledged"] == 12
    world.clock.now += DAYS
    give_up(world, letters, 12)
    redriven(world)
    assert world.ingest()["duplicate"] == 12
    assert world.query("SELECT count(*) FROM user_logins") == [(12,)]


def test_it_is_recorded_before_and_after(world: World) -> None:
    bury(world, logins(3))
    redriven(world)
    assert recorded(world) == [
        ("redrive dead letters", "copy, 3 there, 500 a second at most"),
        ("redrive dead letters done", "ended: copy, moved 3, failed 0"),
    ]


def test_no_more_are_taken_than_asked_for(world: World) -> None:
    letters = bury(world, logins(23))
    assert redriven(world, most=12) == Tally(moved=12, left=11)
    assert (world.depth(), depth(world, letters)) == ((12, 0), (11, 0))


def test_it_keeps_to_its_rate(world: World) -> None:
    """Each call takes no more than a second's worth; what took long is not made up for."""
    bury(world, logins(9))
    waited: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return len(waited) == 2

    tally = redrive(outside(world), order(per_second=4), stop=Stop(), tell=print)
    assert tally == Tally(moved=8, left=1)
    assert [round(seconds) for seconds in waited] == [1, 1]


def test_it_ends_after_the_portion_in_hand_where_it_is_told_to(world: World) -> None:
    letters = bury(world, logins(23))
    stop, tally = threading.Event(), Tally()
    Copying(find(outside(world), USER_LOGINS), bytes(32), order(), tally).run(stop, stop.set)
    assert tally == Tally(moved=10)
    assert (world.depth(), depth(world, letters)) == ((10, 0), (13, 0))


def test_what_fails_meanwhile_is_not_redriven_again(world: World) -> None:
    """Else a message that cannot be handled would go round for as long as the redrive lasts."""
    letters, tally = bury(world, logins(12)), Tally()

    def fail_again() -> None:
        if tally.moved == 10:
            for body in logins(3):
                world.sqs.send_message(QueueUrl=letters, MessageBody=body)

    copying = Copying(find(outside(world), USER_LOGINS), bytes(32), order(), tally)
    copying.run(threading.Event(), fail_again)
    assert tally == Tally(moved=12)
    assert (world.depth(), depth(world, letters)) == ((12, 0), (3, 0))


@dataclass
class Stammering:
    """A dead-letter queue that answers with nothing after each answer with messages."""

    queue: LetterQueue
    pauses: bool = True

    def receive(self, count: int) -> list[Message]:
        self.pauses = not self.pauses
        return [] if self.pauses else self.queue.receive(count)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else is the queue's
        return getattr(self.queue, name)


def test_one_empty_answer_ends_nothing(world: World) -> None:
    """Fault 12, of a redrive: SQS may answer with nothing while messages wait."""
    letters = bury(world, logins(23))
    queue, tally = find(outside(world), USER_LOGINS), Tally()
    stammering = replace(queue, letters=cast("LetterQueue", Stammering(queue.letters)))
    Copying(stammering, bytes(32), order(), tally).run(threading.Event(), lambda: None)
    assert tally == Tally(moved=23)
    assert depth(world, letters) == (0, 0)


@pytest.mark.parametrize("reason", ["", " - "])
def test_without_a_reason_nothing_is_moved(world: World, reason: str) -> None:
    letters = bury(world, logins(3))
    with pytest.raises(AuditRefused):
        redriven(world, reason=reason)
    assert depth(world, letters) == (3, 0)


def test_without_a_dead_letter_queue_it_says_so(world: World) -> None:
    with pytest.raises(QueueMissing, match="has no dead-letter queue"):
        redriven(world)


@pytest.mark.parametrize("way", ["copy", "move"])
def test_letters_of_another_queue_are_never_put_on_this_one(world: World, way: str) -> None:
    letters = bury(world, logins(3))
    policy = {"deadLetterTargetArn": arn_of(world, letters), "maxReceiveCount": 5}
    world.sqs.create_queue(
        QueueName="another-queue", Attributes={"RedrivePolicy": json.dumps(policy)}
    )
    with pytest.raises(QueueError, match="takes the messages of another-queue too"):
        redriven(world, feed=KEYED, way=way)
    assert depth(world, letters) == (3, 0)
    assert recorded(world) == []


def test_letters_that_another_queue_left_behind_stay_where_they_are(world: World) -> None:
    """It led to this dead-letter queue before, so no list of sources names it any more."""
    letters = bury(world, logins(3), named=False)
    another = bury_another_queues(world, letters, logins(12))
    assert look(find(outside(world), USER_LOGINS)).foreign == 12
    assert redriven(world) == Tally(moved=3, foreign=12, left=12)
    assert (world.depth(), depth(world, letters), depth(world, another)) == (
        (3, 0),
        (12, 0),
        (0, 0),
    )
    assert recorded(world)[1][1] == (
        "ended: copy, moved 3, failed 0, left alone as another queue's 12"
    )


def test_what_was_sent_to_the_dead_letter_queue_by_hand_counts_as_the_feeds(world: World) -> None:
    letters = with_dead_letters(world)
    world.sqs.send_message(QueueUrl=letters, MessageBody=logins(1)[0])
    assert redriven(world) == Tally(moved=1)


@pytest.mark.parametrize("feed", [USER_LOGINS, replace(KEYED, key=())])
def test_a_move_is_refused_where_a_date_or_an_identity_would_change(
    world: World,
    feed: Any,  # noqa: ANN401 - a feed
) -> None:
    letters = bury(world, logins(3))
    with pytest.raises(SettingsError, match="a new id and a new time of sending"):
        redriven(world, feed=feed, way="move")
    assert depth(world, letters) == (3, 0)


def test_on_aws_a_move_is_preferred_where_nothing_depends_on_the_envelope(world: World) -> None:
    assert ways(KEYED, on_aws(world)) == ("move", "copy")
    assert ways(USER_LOGINS, on_aws(world)) == ways(USER_LOGINS, outside(world)) == ("copy",)


@pytest.mark.parametrize(
    ("url", "aws"),
    [
        (None, True),
        ("https://sqs.eu-central-1.amazonaws.com", True),
        ("https://vpce-1-2.sqs.eu-central-1.vpce.amazonaws.com/", True),
        ("https://sqs.cn-north-1.amazonaws.com.cn", True),
        ("https://sqs.eu-central-1.api.aws", True),
        ("http://127.0.0.1:9324", False),
        ("http://localstack:4566", False),
        ("https://sqs.amazonaws.com.example.org", False),
        ("https://notamazonaws.com", False),
    ],
)
def test_what_only_speaks_the_protocol_of_sqs_is_not_asked_to_move(
    world: World, url: str | None, *, aws: bool
) -> None:
    there = replace(outside(world), endpoint=Endpoint(url, region="us-east-1"))
    assert ways(KEYED, there)[0] == ("move" if aws else "copy")


def test_the_embedded_queue_copies(world: World) -> None:
    embedded = replace(outside(world), endpoint=Endpoint(embedded=True))
    assert ways(KEYED, embedded) == ("copy", "move")


def test_what_is_too_large_with_its_origin_stays_and_the_others_go(world: World) -> None:
    """A message as large as SQS takes, sent without an event id, has no room for an origin."""
    large = "x" * 2**20
    letters = bury(world, [*logins(5), large], named=False)
    tally = redriven(world)
    assert tally == Tally(moved=5, failed=1, left=1)
    assert depth(world, letters) == (1, 0)


def test_what_cannot_go_is_counted_once_however_long_a_redrive_takes(world: World) -> None:
    """It shows again when its visibility ends, and must not be taken for another one."""
    letters = bury(world, [*logins(30), *["x" * 2**20] * 2], named=False)
    hold = USER_LOGINS.limits.visibility_seconds * 50  # somebody else has ten of them in hand
    world.sqs.receive_message(QueueUrl=letters, MaxNumberOfMessages=10, VisibilityTimeout=hold)

    class Slow(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            world.clock.now += (timeout or 0.0) + USER_LOGINS.limits.visibility_seconds
            return False

    tally = redrive(outside(world), order(per_second=4), stop=Slow(), tell=print)
    assert tally == Tally(moved=20, failed=2, left=12)
    assert (world.depth(), depth(world, letters)) == ((20, 0), (2, 10))


def test_where_the_depth_is_refused_at_the_end_the_end_is_recorded(world: World) -> None:
    bury(world, logins(3))
    with world.app.gate("GetQueueAttributes", 5) as gate:  # two to find it, two at the beginning
        world.app.let_fail(gate)
        with pytest.raises(QueueError, match="refused GetQueueAttributes"):
            redriven(world)
    assert recorded(world)[1:] == [("redrive dead letters done", "ended: copy, moved 3, failed 0")]


def test_when_the_feeds_queue_refuses_the_letters_stay(world: World) -> None:
    """Fault 22: what was in hand shows at once, not when its visibility ends."""
    letters = bury(world, logins(12))
    with world.app.gate("SendMessageBatch", 2) as gate:
        world.app.let_fail(gate)
        with pytest.raises(QueueError, match="refused SendMessageBatch"):
            redriven(world)
    assert (world.depth(), depth(world, letters)) == ((10, 0), (2, 0))
    assert recorded(world)[1:] == [
        ("redrive dead letters done", "broke off: copy, moved 10, failed 0")
    ]


@dataclass
class Picky:
    """A feed's queue that refuses the first of a call for good, and the second for the moment."""

    queue: SqsQueue

    def send(self, events: Sequence[Event]) -> Sent:
        if len(events) == 1:
            return Sent((None,), Refusals(retry=tuple(events)))
        sent = self.queue.send(events[2:])
        refusals = Refusals(retry=(events[1],), final=(events[0],))
        return Sent((None, None, *sent.message_ids), refusals)


def test_what_the_feeds_queue_refuses_in_part_stays_a_dead_letter(world: World) -> None:
    """Fault 8, of a redrive: only what is on the feed's queue is deleted."""
    letters = bury(world, logins(10))
    queue, tally = find(outside(world), USER_LOGINS), Tally()
    picky = replace(queue, source=cast("SqsQueue", Picky(queue.source)))
    copying = Copying(picky, bytes(32), order(), tally)
    with pytest.raises(QueueError, match="refused 1 messages again and again"):
        copying.run(threading.Event(), lambda: None)
    assert tally == Tally(moved=8, failed=1)
    assert (world.depth(), depth(world, letters)) == ((8, 0), (2, 0))


def test_what_sqs_keeps_all_the_same_is_loaded_once(world: World) -> None:
    """Faults 7 and 8: it is on both queues, and redriven again."""
    letters = bury(world, logins(3), named=False)
    with world.app.gate("DeleteMessageBatch", 1) as gate:
        world.app.let_fail(gate)
        with pytest.raises(QueueError, match="refused DeleteMessageBatch"):
            redriven(world)
    world.clock.now += DAYS
    assert (world.depth(), depth(world, letters)) == ((3, 0), (3, 0))
    assert redriven(world).moved == 3
    assert world.ingest()["duplicate"] == 3
    assert world.query("SELECT DISTINCT create_date FROM user_logins") == [(CLOCK_DAY,)]
    assert world.query("SELECT count(*) FROM user_logins") == [(3,)]
