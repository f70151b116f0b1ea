"""The embedded queue against a model of it that is as simple as can be."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.local.queue.moves import MoveStatus
from pipeline.local.queue.queues import Queues
from pipeline_tests.queue_fixtures import Clock, counts, refusal, seeded_queues

seconds = st.integers(0, 40)
MAX_RECEIVES = 2


class QueueAndModel(RuleBasedStateMachine):
    """Every call goes to the queue and to plain dictionaries, which are searched every time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queues = seeded_queues(self.clock)
        self.visible_at: dict[str, float] = {}
        self.receives: dict[str, int] = {}
        self.latest: dict[str, str] = {}
        self.given_out: list[tuple[str, str]] = []

    def ready(self) -> set[str]:
        return {message for message, when in self.visible_at.items() if when <= self.clock.now}

    def in_flight(self) -> set[str]:
        return (set(self.visible_at) - self.ready()) & set(self.latest)

    @rule(delay=seconds)
    def send(self, delay: int) -> None:
        message = self.queues.send("q", "x", attributes={}, delay=delay)
        self.visible_at[message.id] = self.clock.now + delay

    @rule(visibility=seconds)
    def receive(self, visibility: int) -> None:
        spent = self.spent()
        ready = self.ready() - spent
        taken = self.queues.receive("q", most=3, visibility=visibility)
        assert len(taken) == len({message.id for message in taken}) == min(3, len(ready))
        assert {message.id for message in taken} <= ready
        for message in taken:
            self.visible_at[message.id] = self.clock.now + visibility
            self.receives[message.id] = self.receives.get(message.id, 0) + 1
            self.latest[message.id] = message.receipt
            self.given_out.append((message.id, message.receipt))
        self.give_up(spent, found_the_end=len(taken) < 3)

    def spent(self) -> set[str]:
        """What the next receive may find to be a dead letter."""
        return set()

    def give_up(self, spent: set[str], *, found_the_end: bool) -> None:
        """Take note of what the receive gave up."""

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        for message_id, receipt in self.any_receipt(data):
            self.queues.acknowledge("q", receipt)
            if self.latest.get(message_id) == receipt:
                self.visible_at.pop(message_id, None)

    @rule(data=st.data(), visibility=seconds)
    def change_visibility(self, data: st.DataObject, visibility: int) -> None:
        for message_id, receipt in self.any_receipt(data):
            if message_id in self.in_flight() and self.latest[message_id] == receipt:
                self.queues.change_visibility("q", receipt, visibility)
                self.visible_at[message_id] = self.clock.now + visibility
            else:
                refusal(lambda: self.queues.change_visibility("q", receipt, visibility))  # noqa: B023 - called at once

    @rule(passed=st.one_of(st.just(0.5), seconds))
    def let_time_pass(self, passed: float) -> None:
        self.clock.now += passed

    @rule()
    def restart(self) -> None:
        snapshot = self.queues.to_snapshot()
        self.queues = Queues.from_snapshot(snapshot, clock=self.clock, rng=random.SystemRandom())

    @invariant()
    def counts_agree(self) -> None:
        ready, in_flight = len(self.ready()), len(self.in_flight())
        delayed = len(self.visible_at) - ready - in_flight
        assert counts(self.queues) == (ready, delayed, in_flight)

    def any_receipt(self, data: st.DataObject) -> list[tuple[str, str]]:
        """One receipt ever given out, or none if there is none."""
        return [data.draw(st.sampled_from(self.given_out))] if self.given_out else []


class DeadLettersAndModel(QueueAndModel):
    """As above, with a dead-letter queue, and moves from there."""

    def __init__(self) -> None:
        super().__init__()
        self.queues.create("dead", {}, {})
        self.arn = self.queues.get("dead").state.arn
        policy = f'{{"deadLetterTargetArn": "{self.arn}", "maxReceiveCount": {MAX_RECEIVES}}}'
        self.queues.change_settings("q", {"RedrivePolicy": policy})
        self.dead: set[str] = set()
        self.handle = ""
        self.steps: list[float] = []
        self.cancelled = False

    def spent(self) -> set[str]:
        return {m for m in self.ready() if self.receives.get(m, 0) >= MAX_RECEIVES}

    def give_up(self, spent: set[str], *, found_the_end: bool) -> None:
        given_up = {m.id for m in self.queues.get("dead").snapshot().messages} - self.dead
        assert given_up <= spent
        assert not found_the_end or given_up == spent
        for message in given_up:
            del self.visible_at[message], self.latest[message]
        self.dead |= given_up

    @rule(count=st.integers(1, 3))
    def send_what_nobody_can_load(self, count: int) -> None:
        for _ in range(count):
            self.send(delay=0)
        for _ in range(MAX_RECEIVES + 1):
            self.receive(visibility=0)

    @precondition(lambda self: self.dead and not self.steps)
    @rule(rate=st.integers(1, 2))
    def start_move(self, rate: int) -> None:
        now = self.clock.now
        self.handle = self.queues.moves.start(self.arn, "", rate=rate, now=now)
        assert refusal(lambda: self.queues.moves.start(self.arn, "", rate=rate, now=now))
        self.steps = [now + step / rate for step in range(10_000)]
        self.cancelled = False

    @precondition(lambda self: self.steps and not self.cancelled)
    @rule()
    def cancel_move(self) -> None:
        self.queues.moves.cancel(self.handle)
        self.cancelled = True

    @invariant()
    def counts_agree(self) -> None:
        self.make_steps()
        super().counts_agree()

    def make_steps(self) -> None:
        """Let the move do what it should have done by now, and look whether it has."""
        moved = 0
        while self.steps and self.steps[0] <= self.clock.now:
            self.steps.pop(0)
            if not self.cancelled and moved < len(self.dead):
                moved += 1
            if self.cancelled or moved == len(self.dead):
                self.steps = []
        ids = {message.id for message in self.queues.get("q").snapshot().messages}
        came = ids - set(self.visible_at)
        assert len(came) == moved
        left = {message.id for message in self.queues.get("dead").snapshot().messages}
        assert left <= self.dead
        assert len(left) == len(self.dead) - moved
        self.dead = left
        self.visible_at |= dict.fromkeys(came, self.clock.now)
        active = {MoveStatus.RUNNING, MoveStatus.CANCELLING}
        running = any(task.status in active for task in self.queues.moves.of(self.arn))
        assert running == bool(self.steps)


TestAnySequenceOfCallsDoesWhatTheModelSays = QueueAndModel.TestCase
TestAnySequenceOfCallsDoesWhatTheModelSays.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=40
)
TestDeadLettersAndMovesDoWhatTheModelSays = DeadLettersAndModel.TestCase
TestDeadLettersAndMovesDoWhatTheModelSays.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=40
)
