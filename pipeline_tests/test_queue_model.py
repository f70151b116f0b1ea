"""The embedded queue against a model of it that is as simple as can be."""

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pipeline.local.queue.queues import Queues
from pipeline_tests.queue_fixtures import Clock, counts, refusal, seeded_queues

seconds = st.integers(0, 40)


class QueueAndModel(RuleBasedStateMachine):
    """Every call goes to the queue and to plain dictionaries, which are searched every time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queues = seeded_queues(self.clock)
        self.visible_at: dict[str, float] = {}
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
        ready = self.ready()
        taken = self.queues.receive("q", most=3, visibility=visibility)
        assert len(taken) == len({message.id for message in taken}) == min(3, len(ready))
        assert {message.id for message in taken} <= ready
        for message in taken:
            self.visible_at[message.id] = self.clock.now + visibility
            self.latest[message.id] = message.receipt
            self.given_out.append((message.id, message.receipt))

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        for message_id, receipt in self.any_receipt(data):
            self.queues.acknowledge("q", receipt)
            if self.latest[message_id] == receipt:
                self.visible_at.pop(message_id, None)

    @rule(data=st.data(), visibility=seconds)
    def change_visibility(self, data: st.DataObject, visibility: int) -> None:
        for message_id, receipt in self.any_receipt(data):
            if message_id in self.in_flight() and self.latest[message_id] == receipt:
                self.queues.change_visibility("q", receipt, visibility)
                self.visible_at[message_id] = self.clock.now + visibility
            else:
                refusal(lambda: self.queues.change_visibility("q", receipt, visibility))  # noqa: B023 - called at once

    @rule(passed=seconds)
    def let_time_pass(self, passed: int) -> None:
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


TestAnySequenceOfCallsDoesWhatTheModelSays = QueueAndModel.TestCase
TestAnySequenceOfCallsDoesWhatTheModelSays.settings = settings(
    deadline=None, max_examples=60, stateful_step_count=40
)
