"""One campaign from start to end: the network, the services, the scenes, the oracles."""

import contextlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from chaos.accepted import read_logs
from chaos.oracles import Findings, compare
from chaos.verdicts import Witnessed
from machines.addresses import Plan
from machines.faults import Faults, Struck
from machines.feed import machines_feed
from machines.filling import Filling
from machines.growth import Round, grow
from machines.machine import Machine
from machines.network import Network, is_closed
from machines.report import Report
from machines.stage import Stage
from machines.warm import Warm

MACHINES: Final = 4
"""How many there are at least: so many are struck, or go on meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is asked for.

    Attributes:
        messages: Of each round of the growth; 0 leaves it out.
        fault_messages: Of each scene of the faults; 0 leaves them out.
        warm_messages: Of each round and scene of the warm workers; 0 leaves them out.
        cuts: At random moments.
        seed: Decides what is sent, and those cuts.
        command: What was entered.
    """

    messages: int
    fault_messages: int
    warm_messages: int
    cuts: int
    seed: int
    command: str


class Campaign:
    """A campaign in a folder and in a network of its own.

    Args:
        order: What is asked for.
        network: Made.
        root: The folder, empty and private.
    """

    def __init__(self, order: Order, network: Network, root: Path) -> None:
        self._order = order
        self._network = network
        plan: Plan = network.plan
        self._stage = Stage(root, machines_feed())
        place = self._stage.place
        self._machines = [
            Machine(number, network, place.temporary, place.said)
            for number in range(1, plan.machines + 1)
        ]
        self._began = time.monotonic()

    def run(self) -> Report:
        """Everything, from within the hub; whatever happens, no process is left behind."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._stage.end)
            self._stage.start()
            for machine in self._machines:
                stack.callback(machine.end)
            filling = Filling(self._stage, self._order.seed)
            stack.callback(filling.close)
            self._tell("the hub is up")
            rounds = self._grow(filling)
            unwatched = self._stage.progress(0).loaded
            scenes = self._break(filling)
            for machine in self._machines:
                machine.end()
            before_warm = self._stage.progress(0).loaded
            warm_rounds, warm_scenes = self._warm(filling)
            unwatched += self._stage.progress(0).loaded - before_warm
            return self._judge(filling, rounds, [*scenes, *warm_scenes], warm_rounds, unwatched)

    def _warm(self, filling: Filling) -> tuple[Sequence[Round], Sequence[Struck]]:
        messages = self._order.warm_messages
        if not messages:
            return (), ()
        warm = Warm(self._stage, self._network, len(self._machines), filling, self._tell)
        with contextlib.closing(warm):
            warm.start()
            rounds = warm.grow(messages)
            rng = random.Random(f"{self._order.seed}/warm cuts")  # noqa: S311 - no key
            return rounds, warm.break_some(messages, self._order.cuts, rng)

    def _grow(self, filling: Filling) -> Sequence[Round]:
        if not self._order.messages:
            return ()
        return grow(self._stage, self._machines, filling, self._order.messages, self._tell)

    def _break(self, filling: Filling) -> Sequence[Struck]:
        if not self._order.fault_messages:
            return ()
        faults = Faults(
            self._stage,
            self._machines,
            filling,
            messages=self._order.fault_messages,
            tell=self._tell,
        )
        scenes = faults.strike_all()
        if self._order.cuts:
            rng = random.Random(f"{self._order.seed}/cuts")  # noqa: S311 - no key
            scenes.append(faults.cut_at_random(self._order.cuts, rng))
        return scenes

    def _judge(
        self,
        filling: Filling,
        rounds: Sequence[Round],
        scenes: Sequence[Struck],
        warm: Sequence[Round],
        unwatched: int,
    ) -> Report:
        stage = self._stage
        seen = stage.watched.witnessed()
        return Report(
            command=self._order.command,
            seed=self._order.seed,
            seconds=time.monotonic() - self._began,
            rounds=rounds,
            warm=warm,
            scenes=scenes,
            findings=self._compare(filling),
            witnessed=Witnessed(seen=seen["seen"], early=len(seen["violations"])),
            unwatched=unwatched,
            left=sum(map(stage.depth, stage.queues)),
            dead_letters=sum(map(stage.dead_letters, stage.queues)),
            is_closed=is_closed(),
        )

    def _compare(self, filling: Filling) -> Findings:
        """Holds the warehouse against what was accepted; nothing may be left anywhere else."""
        stage = self._stage
        stem = filling.canaries.user(0).removesuffix("0")
        with psycopg.connect(stage.warehouse.url) as connection:
            sent = read_logs(filling.logs)
            return compare(connection, stage.feed, stem, sent=sent, waiting=())

    def _tell(self, line: str) -> None:
        print(f"{time.monotonic() - self._began:5.0f} s: {line}", flush=True)
