"""The simulated world: a queue, a database, runs, producers, and people who redrive."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pipeline.consume.plan import Seen, decide
from pipeline.contract import Feed
from pipeline.local.queue.messages import Attribute, Place
from pipeline.local.queue.messages import Message as Queued
from pipeline.local.queue.names import arn_of
from pipeline.local.queue.queues import Queues
from pipeline.messages import Event
from pipeline.resources.sqs import attributes_of
from simulation import contract, oracles
from simulation.client import Sqs
from simulation.clock import VirtualClock
from simulation.contract import DEAD_LETTERS, LIMITS, NARROW, Kind, Said
from simulation.faults import Faults
from simulation.faulty_warehouse import Database, Health
from simulation.oracles import Violation
from simulation.process import Process
from simulation.run import Run, Stage
from simulation.tally import Tally
from simulation.warehouse import Store

# As the sensor has it.
_RECEIVES_SECONDS: Final = LIMITS.run_seconds + LIMITS.receive_seconds + 60.0
_RETENTION: Final = {"MessageRetentionPeriod": str(contract.RETENTION_DAYS * 86_400)}


@dataclass(slots=True)
class Sent:
    """What a producer has sent, and when."""

    said: Said
    times: list[datetime] = field(default_factory=list)


class World:
    """Everything there is. What goes wrong is decided outside.

    Args:
        tally: Counts.
        max_receives: After so many deliveries SQS gives a message up.
        enriches: Whether the feed has an enrichment.

    Attributes:
        put_off: The events whose enrichment meets an outage for now.
        sent: What SQS has taken from producers, by body.
        runs: Those that may go on, or that Dagster still takes to be at work.
        found: The properties that were found not to hold, as they were.
    """

    def __init__(self, tally: Tally, max_receives: int, *, enriches: bool) -> None:
        self.tally = tally
        self.enriches = enriches
        self.put_off: set[str] = set()
        self.clock = VirtualClock()
        self.chance = random.Random(1)  # noqa: S311 - the same in every schedule
        self.faults = Faults(random.Random(2), tally.struck)  # noqa: S311 - as above
        self.queues = Queues(clock=self.clock, rng=random.Random(3))  # noqa: S311 - as above
        self.queues.create(DEAD_LETTERS, _RETENTION, {})
        policy = {"deadLetterTargetArn": arn_of(DEAD_LETTERS), "maxReceiveCount": max_receives}
        attributes = {**_RETENTION, "RedrivePolicy": json.dumps(policy)}
        self.queues.create(NARROW.queue, attributes, {})
        self.sqs = Sqs(self.queues, self.clock, self.faults, self._see_delete)
        self.accepts_cursed = False
        self.store = Store(self.clock, self._refuses)
        self.database = Database(self.store)
        self.feed: Feed = NARROW
        self.sent: dict[str, Sent] = {}
        self.purged: set[str] = set()
        self.runs: list[Run] = []
        self.found: list[Violation] = []
        self._launched = 0
        self._failures = 0
        self._failed_at = 0.0
        self._waiting_since: float | None = None

    def hold(self, oracle: Callable[[], None]) -> None:
        """Notes where a property does not hold: what is raised in a run could be swallowed."""
        try:
            oracle()
        except Violation as violation:
            self.found.append(violation)

    def messages(self) -> Iterator[Queued]:
        """All messages on the queue and among the dead letters."""
        for name in (NARROW.queue, DEAD_LETTERS):
            yield from self.on(name)

    def on(self, name: str) -> list[Queued]:
        """The messages of one queue."""
        return self.queues.get(name).snapshot().messages

    def depth(self, name: str) -> int:
        """How many messages a queue has, hidden ones too."""
        queue = self.queues.get(name)
        return queue.count(Place.READY) + queue.count(Place.IN_FLIGHT)

    def in_flight(self) -> list[Queued]:
        """The messages that are hidden."""
        if not self.queues.get(NARROW.queue).count(Place.IN_FLIGHT):
            return []
        return [each for each in self.on(NARROW.queue) if each.place is Place.IN_FLIGHT]

    def able(self) -> list[Run]:
        """The runs that can go on."""
        return [run for run in self.runs if run.can_go_on]

    def at_rest(self) -> bool:
        """Whether nothing is under way."""
        alive = any(run.process.alive for run in self.runs)
        return not alive and not self.depth(NARROW.queue) and not self.depth(DEAD_LETTERS)

    def lately_sent(self) -> list[Said]:
        """What a producer may send again: what SQS has taken in the days for which it keeps it."""
        oldest = self.clock.now - contract.RETENTION_DAYS * 86_400
        return [
            each.said
            for each in self.sent.values()
            if each.said.named and each.times[-1].timestamp() > oldest
        ]

    def expose(self, message_id: str) -> None:
        """Shows a message to everybody, whoever holds it; no heart is to blame for that."""
        for run in self.runs:
            run.client.let_go(message_id)
        queue, now = self.queues.get(NARROW.queue), self.clock.now
        if (message := queue.find(message_id)) is not None:
            queue.hide([message], until=now, now=now)

    def calm_down(self) -> None:
        """Nothing goes wrong any more."""
        self.faults.disarm()
        self.database.turn(Health.WELL)
        self.sqs.down = False
        self.put_off.clear()
        self.wake()

    def wake(self) -> None:
        """Lets every process go on that was stopped."""
        for run in self.runs:
            run.process.stopped = False
        self.clock.advance(0)

    def send(self, said: Said) -> None:
        """A producer sends something."""
        event = Event(said.event if said.named else "", said.body)
        message = self.put(event)
        each = self.sent.setdefault(said.body, Sent(said))
        each.times.append(oracles.at(message.sent_at))

    def launch(self, run_id: str | None = None) -> Run:
        """Starts a run, in a process of its own."""
        self._launched += 1
        run = Run(self, run_id or f"run-{self._launched}", self.feed)
        self.runs.append(run)
        return run

    def go_on(self, run: Run) -> None:
        """Has a run carry out its next stage."""
        run.go_on()
        if run.stage is Stage.FAILED:
            self._failures += 1
            self._failed_at = run.ended
        elif run.stage is Stage.DONE:
            self._failures = 0
        self._forget_runs()

    def tick(self) -> int:
        """Has the sensor look; how many runs it has started."""
        now = self.clock.now
        active = [r for r in self.runs if r.active and now - r.launched < LIMITS.run_age_seconds]
        decision = decide(
            Seen(
                now=now,
                depth=self.queues.get(NARROW.queue).count(Place.READY),
                active=len(active),
                receiving=sum(now - r.launched < _RECEIVES_SECONDS for r in active),
                failures=self._failures,
                failed_at=self._failed_at,
                waiting_since=self._waiting_since,
            ),
            LIMITS,
        )
        self._waiting_since = decision.waiting_since
        for _ in range(decision.runs):
            self.launch()
        return decision.runs

    def meanwhile(self, process: Process) -> None:
        """Has another run carry out some of its stages during a call of this one's."""
        others = [run for run in self.runs if run.can_go_on and run.process is not process]
        run = self.chance.choice(others) if others else self.launch()
        for _ in range(self.chance.randint(1, 4)):
            if run.can_go_on:
                self.go_on(run)

    def put(self, event: Event) -> Queued:
        """Puts an event on the queue; nothing goes wrong with it."""
        attributes = {
            name: Attribute(data_type="String", string_value=value)
            for name, value in attributes_of(event).items()
        }
        return self.queues.send(NARROW.queue, event.body, attributes=attributes)

    def _forget_runs(self) -> None:
        oldest = self.clock.now - LIMITS.run_age_seconds
        self.runs = [
            run for run in self.runs if run.process.alive or (run.active and run.launched > oldest)
        ]

    def _see_delete(self, queue: str, message: Queued) -> None:
        self.hold(lambda: oracles.deleted_only_when_durable(self, queue, message))

    def _refuses(self, row: object) -> bool:
        return not self.accepts_cursed and isinstance(row, dict) and row["text"] == Kind.CURSED
