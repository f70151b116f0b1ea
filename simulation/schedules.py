"""The state machine that drives the world: every step is a rule, every property an invariant."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from simulation import handling, oracles
from simulation.contract import DEAD_LETTERS, NARROW, Kind, Said
from simulation.faults import Fault
from simulation.faulty_warehouse import Health
from simulation.tally import Tally
from simulation.world import World

BOUND: Final = 3600.0
"""Seconds within which everything has drained once nothing goes wrong any more."""

_TICK: Final = 60.0  # seconds between two looks of the sensor in the end; in earnest it is 5
_RUNS: Final = 4  # enough to cross each other
_MANY_DAYS: Final = 13 * 86_400.0

_few: Final = st.integers(0, 3)
_calls: Final = st.integers(0, 3)
_stages: Final = st.integers(1, 6)
_kinds: Final = st.sampled_from(Kind)
_faults: Final = st.sampled_from(Fault)
_seconds: Final = st.sampled_from((1.0, 10.0, 25.0, 61.0, 200.0, 700.0))

_Any = TypeVar("_Any")


def _counted(act: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(act)
    def counting(self: "Schedule", **drawn: Any) -> None:  # noqa: ANN401 - what the rule draws
        self.tally.rules[act.__name__] += 1
        act(self, **drawn)
        self.look()

    return counting


class Schedule(RuleBasedStateMachine):
    """One schedule, from an empty world to one that has drained.

    Attributes:
        tally: Counts, over all schedules of a subclass.
    """

    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.tally.schedules += 1
        self.world: World
        self._events = 0
        self._failed = False

    @initialize(
        kinds=st.lists(_kinds, min_size=1, max_size=6),
        max_receives=st.sampled_from((1, 2, 6)),
        put_off=st.sampled_from((None, 0, 1, 6)),
    )
    def begin(self, kinds: list[Kind], max_receives: int, put_off: int | None) -> None:
        """With an enrichment, which meets an outage for so many events at first, or without."""
        self.world = World(self.tally, max_receives, enriches=put_off is not None)
        for kind in kinds:
            self._send_new(kind)
        self.world.put_off = {said.event for said in self.world.lately_sent()[: put_off or 0]}

    # What producers do

    @rule(kind=_kinds, named=st.booleans())
    @_counted
    def send(self, kind: Kind, named: bool) -> None:  # noqa: FBT001 - drawn
        self._send_new(kind, named=named)

    @rule(which=_few)
    @_counted
    def send_again(self, which: int) -> None:
        if said := self._one(self.world.lately_sent(), which):
            self.tally.came["sent again"] += 1
            self.world.send(said)

    @rule(which=_few, kind=_kinds)
    @_counted
    def send_something_else(self, which: int, kind: Kind) -> None:
        if said := self._one(self.world.lately_sent(), which):
            self.tally.came["sent with something else"] += 1
            self.world.send(Said(said.event, kind))

    # What the sensor and runs do

    @rule(which=_few)
    @_counted
    def carry_on(self, which: int) -> None:
        self._carry_on(which, stages=1)

    @rule(which=_few)
    @_counted
    def carry_through(self, which: int) -> None:
        self._carry_on(which, stages=6)

    @rule(fault=_faults, calls=_calls, which=_few, stages=_stages)
    @_counted
    def carry_on_into_a_fault(self, fault: Fault, calls: int, which: int, stages: int) -> None:
        self.world.faults.arm(fault, calls)
        self._carry_on(which, stages=stages)

    @rule(fault=_faults, calls=_calls, seconds=_seconds)
    @_counted
    def wait_with_a_fault(self, fault: Fault, calls: int, seconds: float) -> None:
        self.world.faults.arm(fault, calls)
        self.world.clock.advance(seconds)

    @rule(seconds=_seconds)
    @_counted
    def wait(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(which=_few)
    @_counted
    def launch_twice(self, which: int) -> None:
        if len(self.world.runs) < _RUNS and (run := self._one(self.world.runs, which)):
            self.tally.came["launched twice"] += 1
            self.world.launch(run.run_id)

    @rule(which=_few)
    @_counted
    def kill(self, which: int) -> None:
        if run := self._one(self.world.able(), which):
            self.tally.came["killed between stages"] += 1
            run.process.kill()

    @rule(which=_few)
    @_counted
    def stop_or_wake(self, which: int) -> None:
        """Stops a run; wakes all that are stopped, where some are."""
        if any(run.process.stopped for run in self.world.runs):
            self.world.wake()
            self.tally.came["woken"] += 1
        elif run := self._one(self.world.able(), which):
            run.process.stop()

    # What goes wrong around them, and what people do

    @rule(health=st.sampled_from(Health))
    @_counted
    def turn_the_database(self, health: Health) -> None:
        self.world.database.turn(health)

    @rule(down=st.booleans())
    @_counted
    def turn_the_queue(self, down: bool) -> None:  # noqa: FBT001 - drawn
        self.world.sqs.down = down

    @rule(which=_few)
    @_counted
    def turn_the_enrichment(self, which: int) -> None:
        """Its service fails for one event more, or after two for none."""
        if len(self.world.put_off) > 1:
            self.world.put_off.clear()
        elif said := self._one(self.world.lately_sent(), which):
            self.world.put_off.add(said.event)

    @rule(which=_few)
    @_counted
    def deliver_twice(self, which: int) -> None:
        if message := self._one(self.world.in_flight(), which):
            self.tally.came["delivered twice"] += 1
            self.world.expose(message.id)

    @rule(count=st.integers(1, 4))
    @_counted
    def lose_deliveries(self, count: int) -> None:
        handling.lose_deliveries(self.world, count)

    @rule(change=st.sampled_from(("contract", "table", "time")))
    @_counted
    def change(self, change: str) -> None:
        """Another contract, another constraint of the table, or many days and a shorter ledger."""
        if change == "contract":
            handling.change_contract(self.world)
        elif change == "table":
            self.world.accepts_cursed = not self.world.accepts_cursed
        elif self.world.at_rest():
            self.tally.came["pruned after days"] += 1
            self.world.clock.advance(_MANY_DAYS)
            handling.prune_ledger(self.world)

    @rule(most=st.integers(1, 10), reached=st.sampled_from(handling.Reached))
    @_counted
    def redrive_the_quarantine(self, most: int, reached: handling.Reached) -> None:
        sent = handling.redrive_quarantine(self.world, most=most, reached=reached)
        self.tally.came["redriven from the quarantine"] += sent

    @rule(fault=_faults, calls=_calls)
    @_counted
    def redrive_the_dead_letters(self, fault: Fault, calls: int) -> None:
        if self.world.depth(DEAD_LETTERS):
            self.world.faults.arm(fault, calls)
            self._redrive()

    def look(self) -> None:
        """Raises the first property that has not held during a step, or does not hold after it."""
        self._failed = True
        if self.world.found:
            raise self.world.found[0]
        for oracle in oracles.AT_EVERY_MOMENT:
            oracle(self.world)
        self._failed = False

    def teardown(self) -> None:
        """Nothing goes wrong any more: everything comes to its end, within the bound."""
        if self._failed:
            return
        world = self.world
        world.calm_down()
        self._drain()
        while world.depth(DEAD_LETTERS):
            self._redrive()
            self._drain()
        oracles.every_sound_event_is_loaded(world)

    def _send_new(self, kind: Kind, *, named: bool = True) -> None:
        self._events += 1
        self.world.send(Said(f"e{self._events}", kind, named))

    def _carry_on(self, which: int, *, stages: int) -> None:
        """A run goes on; where none can, the sensor looks, and where that starts none, a person."""
        if not self.world.able():
            self.tally.came["runs of the sensor"] += self.world.tick()
        if not self.world.able() and len(self.world.runs) < _RUNS:
            self.world.launch()
        run = self._one(self.world.able(), which)
        for _ in range(stages):
            if run is not None and run.can_go_on:
                self.world.go_on(run)

    @staticmethod
    def _one(some: Sequence[_Any], which: int) -> _Any | None:
        return some[which % len(some)] if some else None

    def _redrive(self) -> None:
        self.tally.came["dead letters redriven"] += handling.redrive_dead_letters(self.world)

    def _drain(self) -> None:
        world = self.world
        end = world.clock.now + BOUND
        while world.clock.now < end and (world.depth(NARROW.queue) or self.world.able()):
            world.tick()
            for run in self.world.able():
                while run.can_go_on:
                    world.go_on(run)
            world.clock.advance(_TICK)
        self.look()
        oracles.everything_has_drained(world)


RULES: Final = tuple(
    name for name, value in vars(Schedule).items() if hasattr(value, "hypothesis_stateful_rule")
)
"""The names of all rules."""
