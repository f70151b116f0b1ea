"""The embedded queue's state machine, on a clock that only the tests move."""

import random

import msgspec
import pytest

from pipeline.errors import LocalServiceError
from pipeline.local.queue.messages import Attribute
from pipeline.local.queue.queues import Queues
from pipeline_tests.queue_fixtures import Clock, counts, refusal, seeded_queues, send


def test_a_received_message_is_hidden_until_its_visibility_timeout_has_passed(
    queues: Queues, clock: Clock
) -> None:
    send(queues, "a")
    first = queues.receive("q", most=10)
    clock.now += 29.9
    assert queues.receive("q", most=10) == []
    clock.now += 0.1
    again = queues.receive("q", most=10)
    assert [m.id for m in again] == [m.id for m in first]
    assert again[0].receives == 2


def test_visibility_of_zero_leaves_the_message_ready_but_gives_it_once_per_call(
    queues: Queues,
) -> None:
    send(queues, "a")
    assert len(queues.receive("q", most=10, visibility=0)) == 1
    assert len(queues.receive("q", most=10)) == 1


def test_first_receive_time_stays_the_first(queues: Queues, clock: Clock) -> None:
    send(queues, "a")
    queues.receive("q", most=1)
    first = clock.now
    clock.now += 31
    (message,) = queues.receive("q", most=1)
    assert message.first_received_at == first
    assert message.sent_at == first


def test_a_delay_hides_a_new_message_and_its_own_beats_the_queues(clock: Clock) -> None:
    queues = seeded_queues(clock, DelaySeconds="5")
    send(queues, "later")
    queues.send("q", "now", attributes={}, delay=0)
    assert counts(queues) == (1, 1, 0)
    clock.now += 5
    assert counts(queues) == (2, 0, 0)


def test_retention_takes_messages_wherever_they_stand(clock: Clock) -> None:
    queues = seeded_queues(clock, MessageRetentionPeriod="60", VisibilityTimeout="100")
    send(queues, "in flight", "ready")
    queues.receive("q", most=1)
    queues.send("q", "delayed", attributes={}, delay=900)
    clock.now += 59.9
    assert counts(queues) == (1, 1, 1)
    clock.now += 0.1
    assert counts(queues) == (0, 0, 0)


def test_the_latest_receipt_deletes_even_after_the_timeout_and_again_without_harm(
    queues: Queues, clock: Clock
) -> None:
    send(queues, "a")
    (message,) = queues.receive("q", most=1)
    receipt = message.receipt
    clock.now += 31
    assert counts(queues) == (1, 0, 0)
    queues.acknowledge("q", receipt)
    queues.acknowledge("q", receipt)
    assert counts(queues) == (0, 0, 0)
    assert queues.receive("q", most=1) == []


def test_an_older_receipt_deletes_nothing_and_says_so_to_nobody(
    queues: Queues, clock: Clock
) -> None:
    send(queues, "a")
    old = queues.receive("q", most=1)[0].receipt
    clock.now += 31
    queues.receive("q", most=1)
    queues.acknowledge("q", old)
    assert counts(queues) == (0, 0, 1)


@pytest.mark.parametrize("receipt", ["", "nonsense", "bm90IG91cnM=", "b3RoZXIvYS9i", "\u00e9"])
def test_a_receipt_that_this_queue_never_gave_is_refused(queues: Queues, receipt: str) -> None:
    assert refusal(lambda: queues.acknowledge("q", receipt)) == "ReceiptHandleIsInvalid"
    assert refusal(lambda: queues.change_visibility("q", receipt, 1)) == "ReceiptHandleIsInvalid"


def test_a_heartbeat_counts_from_now_and_zero_gives_back(queues: Queues, clock: Clock) -> None:
    send(queues, "a", "b")
    held, released = (message.receipt for message in queues.receive("q", most=2))
    clock.now += 20
    queues.change_visibility("q", held, 30)
    queues.change_visibility("q", released, 0)
    assert counts(queues) == (1, 0, 1)
    clock.now += 29.9
    assert counts(queues) == (1, 0, 1)
    clock.now += 0.1
    assert counts(queues) == (2, 0, 0)


def test_visibility_changes_only_in_flight_and_with_the_latest_receipt(
    queues: Queues, clock: Clock
) -> None:
    send(queues, "a")
    old = queues.receive("q", most=1)[0].receipt
    clock.now += 31
    assert refusal(lambda: queues.change_visibility("q", old, 5)) == "MessageNotInflight"
    new = queues.receive("q", most=1)[0].receipt
    assert refusal(lambda: queues.change_visibility("q", old, 5)) == "MessageNotInflight"
    queues.acknowledge("q", new)
    gone = refusal(lambda: queues.change_visibility("q", new, 5))
    assert gone == "InvalidParameterValueException"


def test_visibility_ends_twelve_hours_after_the_receive(queues: Queues, clock: Clock) -> None:
    send(queues, "a")
    receipt = queues.receive("q", most=1)[0].receipt
    clock.now += 10
    too_long = refusal(lambda: queues.change_visibility("q", receipt, 43_191))
    assert too_long == "InvalidParameterValueException"
    queues.change_visibility("q", receipt, 43_190)


def test_past_the_in_flight_limit_a_receive_gets_nothing(queues: Queues) -> None:
    send(queues, *map(str, range(55)))
    taken = [m for _ in range(7) for m in queues.receive("q", most=10)]
    assert len(taken) == 50
    assert queues.get("q").full
    assert queues.get("q").deliverable == 0
    queues.acknowledge("q", taken[0].receipt)
    assert len(queues.receive("q", most=10)) == 1


def test_purging_takes_everything_and_only_once_a_minute(queues: Queues, clock: Clock) -> None:
    send(queues, *"abc")
    queues.receive("q", most=1)
    queues.purge("q")
    assert counts(queues) == (0, 0, 0)
    clock.now += 59
    assert refusal(lambda: queues.purge("q")) == "PurgeQueueInProgress"
    clock.now += 1
    queues.purge("q")


def test_a_deleted_name_is_free_again_after_a_minute(queues: Queues, clock: Clock) -> None:
    queues.delete("q")
    clock.now += 59
    for _ in range(2):
        assert refusal(lambda: queues.create("q", {}, {})) == "QueueDeletedRecently"
    clock.now += 1
    queues.create("q", {}, {})
    assert counts(queues) == (0, 0, 0)


def test_a_snapshot_keeps_every_message_where_it_stands(clock: Clock) -> None:
    before = seeded_queues(clock)
    before.send("q", "in flight", attributes={"n": Attribute(data_type="String", string_value="v")})
    (held,) = before.receive("q", most=1, visibility=10)
    before.send("q", "ready", attributes={})
    before.send("q", "delayed", attributes={}, delay=5)
    after = Queues.from_snapshot(before.to_snapshot(), clock=clock, rng=random.SystemRandom())
    assert counts(after) == (1, 1, 1)
    assert after.get("q").snapshot() == before.get("q").snapshot()
    after.change_visibility("q", held.receipt, 0)
    clock.now += 5
    assert counts(after) == (3, 0, 0)
    assert {m.receives for m in after.receive("q", most=10)} == {1, 2}


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\x81\xa7version\x01"])
def test_a_damaged_snapshot_is_a_clear_error(clock: Clock, data: bytes) -> None:
    with pytest.raises(LocalServiceError, match="Remove the snapshot"):
        Queues.from_snapshot(data, clock=clock, rng=random.SystemRandom())


def test_a_snapshot_of_another_version_is_a_clear_error(queues: Queues) -> None:
    content = msgspec.msgpack.decode(queues.to_snapshot())
    data = msgspec.msgpack.encode(content | {"version": 2})
    with pytest.raises(LocalServiceError, match="another version"):
        Queues.from_snapshot(data, clock=queues.clock, rng=random.SystemRandom())
