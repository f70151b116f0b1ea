"""Dead letters go back to their own queue as who they were: counted, recorded, each loaded once."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import pytest

from pipeline.errors import AuditRefused, QueueError, QueueMissing, SettingsError
from pipeline.messages import Event, Refusals, Sent
from pipeline.operate.dead_letters.copying import Copying
from pipeline.operate.dead_letters.order import Tally, ways
from pipeline.operate.dead_letters.redrive import find, redrive
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint
from pipeline_tests.dead_letter_case import (
    DAYS,
    arn_of,
    bury,
    depth,
    give_up,
    logins,
    order,
    outside,
    recorded,
    with_dead_letters,
)
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import CLOCK_DAY, World

KEYED: Final = replace(
    USER_LOGINS,
    fields=tuple(each for each in USER_LOGINS.fields if each.path != "@sent_at"),
    key=("user_id",),
)
"""A feed of which nothing depends on the envelope."""


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
        ("redrive dead letters", "copy, 3 there"),
        ("redrive dead letters done", "ended: copy, moved 3, failed 0"),
    ]


def test_no_more_are_taken_than_asked_for(world: World) -> None:
    letters = bury(world, logins(23))
    assert redriven(world, most=12) == Tally(moved=12, left=11)
    assert (world.depth(), depth(world, letters)) == ((12, 0), (11, 0))


def test_it_keeps_to_its_rate(world: World) -> None:
    """Each call takes no more than a second's worth; between two it waits to be stopped."""
    bury(world, logins(9))
    waited: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waited.append(timeout or 0.0)
            return len(waited) == 2

    tally = redrive(outside(world), order(per_second=4), stop=Stop(), tell=print)
    assert tally == Tally(moved=8, left=1)
    assert [round(seconds) for seconds in waited] == [1, 2]


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
    real = outside(world)
    embedded = replace(real, endpoint=Endpoint(embedded=True))
    assert ways(KEYED, real) == ("move", "copy")
    assert ways(KEYED, embedded) == ("copy", "move")
    assert ways(USER_LOGINS, real) == ways(USER_LOGINS, embedded) == ("copy",)


def test_what_is_too_large_with_its_origin_stays_and_the_others_go(world: World) -> None:
    """A message as large as SQS takes, sent without an event id, has no room for an origin."""
    large = "x" * 2**20
    letters = bury(world, [*logins(5), large], named=False)
    tally = redriven(world)
    assert tally == Tally(moved=5, failed=1, left=1)
    assert depth(world, letters) == (1, 0)


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
