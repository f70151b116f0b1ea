"""A run of the simulated world: the stages of the core, one at a time, in a process of its own."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING

from pipeline.consume import stages
from pipeline.consume.batch import Decoded, Reject
from pipeline.consume.further import Budget
from pipeline.consume.stages import InHand, Ports
from pipeline.contract import Feed
from pipeline.enrichment import Record
from pipeline.errors import AccountError, PipelineError, UnexpectedError
from pipeline.resources.sqs import SqsQueue
from simulation import oracles
from simulation.client import Client
from simulation.contract import LIMITS, Kind, Said, enriched, length
from simulation.faulty_warehouse import FaultyWarehouse
from simulation.oracles import Violation
from simulation.process import Killed, Process

if TYPE_CHECKING:
    from simulation.world import World


class Stage(Enum):
    """What a run does next, or how it has ended."""

    EXTRACT = auto()
    ENRICH = auto()
    MASK = auto()
    LOAD = auto()
    ACKNOWLEDGE = auto()
    ISOLATE = auto()
    DONE = auto()
    FAILED = auto()


class Run:
    """One run, as Dagster would carry it out.

    Attributes:
        run_id: Dagster's name for it; one that is launched twice has the same.
        feed: The contract as it was when the run began.
        stage: What it does next.
        launched: When it was launched.
        began: When it began to receive, once it has.
        ended: When it ended.
        stage_began: When its latest stage began.
        given_back: The bodies of what the enrichment of its batch was put off for.
    """

    def __init__(self, world: "World", run_id: str, feed: Feed) -> None:
        self.run_id = run_id
        self.feed = feed
        self.stage = Stage.EXTRACT
        self.launched = self.began = self.ended = self.stage_began = world.clock.now
        self.process = Process(world)
        self.client = Client(self.process, world.sqs, self._receives)
        self._world = world
        self._busy = False
        self._hand: InHand | None = None
        self._budget: Budget | None = None
        self._feed = enriched(feed, self._enrich) if world.enriches else feed
        self.given_back: set[str] = set()

    @property
    def can_go_on(self) -> bool:
        """Whether it has something left to do, and can."""
        return self.process.alive and not self.process.stopped and not self._busy

    @property
    def active(self) -> bool:
        """Whether Dagster takes it to be at work: it does not hear of a process that was killed."""
        return self.stage not in {Stage.DONE, Stage.FAILED}

    @property
    def holds(self) -> bool:
        """Whether it holds messages, and its heart should beat."""
        return self.process.alive and self.stage not in {Stage.EXTRACT, Stage.DONE, Stage.FAILED}

    def go_on(self) -> None:
        """Carries out the next stage; a process that is killed in it does nothing any more."""
        self.process.begin()
        self.stage_began = self._world.clock.now
        self._busy = True
        try:
            self._carry_out()
        except Killed:
            pass
        except PipelineError as error:
            self._fail(error)
        finally:
            self._busy = False

    def _carry_out(self) -> None:
        world = self._world
        match self.stage:
            case Stage.EXTRACT:
                self._extract()
            case Stage.ENRICH:
                self._hand = stages.enrich(before := self._in_hand())
                self.given_back |= _bodies(before.batch) - _bodies(self._hand.batch)
                self.stage = Stage.MASK
            case Stage.MASK:
                self._hand = stages.mask(self._in_hand())
                self.stage = Stage.LOAD
            case Stage.LOAD:
                self._hand = stages.load(self._in_hand(), self.run_id)
                suspected = {message.body for message in self._hand.suspects}
                self._settles(self.client.bodies - suspected - self.given_back)
                self.stage = Stage.ACKNOWLEDGE
            case Stage.ACKNOWLEDGE:
                stages.acknowledge(self._in_hand())
                self._deletes(kept=self._suspected())
                if self._in_hand().suspects:
                    self.stage = Stage.ISOLATE
                else:
                    self._go_on_or_end()
            case Stage.ISOLATE:
                world.tally.came["settled apart"] += 1
                # What SQS has refused for good to delete of the others, in the stage before.
                refused = oracles.in_flight(world, self) - self._suspected()
                stages.isolate(self._in_hand(), self.run_id)
                # Where no time is left, what is to be enriched is given back unasked.
                if self._in_hand().held.seconds_left > LIMITS.visibility_seconds:
                    self._settles(self.client.bodies - self.given_back)
                    self._deletes(kept=refused)
                self._go_on_or_end()

    def _extract(self) -> None:
        """Receives the run's first batch, or a further one."""
        clock, feed = self.process.clock, self._feed
        if self._budget is None:
            self._hand = hand = stages.extract(feed, self._ports())
            received = len(self.client.received)
            self._budget = Budget(feed.limits, clock, began=hand.began, received=received)
        elif not (most := self._budget.next_batch()):
            self._end(Stage.DONE)
            return
        else:
            limited = replace(feed, limits=replace(feed.limits, batch_messages=most))
            self._hand = stages.extract(limited, self._ports())
            self._budget.spend(len(self.client.received))
            self._world.tally.came["further batches"] += 1
        self.stage = Stage.ENRICH if self._world.enriches else Stage.MASK

    def _go_on_or_end(self) -> None:
        """What a run does once a batch is acknowledged."""
        if not self._in_hand().more:
            self._end(Stage.DONE)
            return
        self.client.forget()
        self.given_back.clear()
        self.stage = Stage.EXTRACT

    def _ports(self) -> Ports:
        world = self._world
        warehouse = FaultyWarehouse(self.process, world.database, self._feed, self._quarantines)
        return Ports(warehouse, self._open_queue, self.process.clock, world.chance)

    def _open_queue(self) -> SqsQueue:
        """The last that it does before it receives; the check of the warehouse may take long."""
        queue = SqsQueue(self.client.as_boto3(), self.feed)
        self.began = self._world.clock.now
        return queue

    async def _enrich(self, record: Record) -> Mapping[str, object]:
        said = Said(str(record["event"]), Kind(str(record["text"])))
        if said.event in self._world.put_off:
            self._world.tally.came["enrichments put off"] += 1
            self.given_back.add(said.body)
            raise TimeoutError
        return length(said)

    def _in_hand(self) -> InHand:
        assert self._hand is not None  # noqa: S101 - the stage before has set it
        return self._hand

    def _receives(self) -> None:
        world = self._world
        world.hold(lambda: oracles.nothing_is_received_while_the_warehouse_is_down(world, self))

    def _settles(self, bodies: AbstractSet[str]) -> None:
        world = self._world
        world.hold(lambda: oracles.a_batch_is_settled_whole(world, self, bodies))

    def _suspected(self) -> set[str]:
        return {message.receipt for message in self._in_hand().suspects}

    def _deletes(self, *, kept: AbstractSet[str]) -> None:
        world = self._world
        world.hold(lambda: oracles.what_is_settled_is_deleted(world, self, kept))

    def _quarantines(self, rejects: Sequence[Reject]) -> None:
        world = self._world
        world.hold(lambda: oracles.nothing_sound_is_quarantined(world, self, rejects))

    def _fail(self, error: PipelineError) -> None:
        if isinstance(error, AccountError | UnexpectedError):
            self._world.found.append(Violation("a_run_fails_with_a_cause", str(error)))
        self._world.hold(lambda: oracles.a_run_fails_with_a_cause(self, error))
        self._world.hold(lambda: oracles.what_is_released_comes_back(self._world, self))
        self._end(Stage.FAILED)

    def _end(self, stage: Stage) -> None:
        self.stage = stage
        self.ended = self._world.clock.now
        self.process.kill()


def _bodies(batch: Decoded) -> set[str]:
    entries = (*batch.entries, *(reject.entry for reject in batch.rejects))
    return {entry.message.body for entry in entries}
