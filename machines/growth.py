"""Scene 1, growth: one worker more in each round, over a queue that is deep each time."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from machines.busy import Work, look
from machines.filling import Filling
from machines.machine import Machine
from machines.rate import MOST, rate
from machines.stage import Stage

ANSWER_SECONDS: Final = 0.02
"""After which the queue answers each call, as SQS does from within its region."""

_ROUND_SECONDS: Final = 600.0
_GLANCE_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What so many workers came to.

    Attributes:
        workers: Side by side.
        messages: That waited for them.
        rate: Events settled a second, by the ledger.
        seconds: For which the cores were watched.
        busy: Cores that were busy, with whatever.
        cores: How many there are.
        parts: Cores that each part of the campaign had.
        others: Cores that were busy with anything else.
    """

    workers: int
    messages: int
    rate: float
    seconds: float
    busy: float
    cores: int
    parts: Mapping[str, float]
    others: float

    @classmethod
    def of(cls, workers: int, messages: int, events: float, work: Work) -> "Round":
        """From what was measured."""
        return cls(
            workers=workers,
            messages=messages,
            rate=events,
            seconds=work.clock,
            busy=work.busy / work.clock,
            cores=os.cpu_count() or 1,
            parts={name: work.cores(name) for name in work.parts},
            others=work.others,
        )


def grow(
    stage: Stage,
    machines: Sequence[Machine],
    filling: Filling,
    messages: int,
    tell: Callable[[str], None],
) -> list[Round]:
    """One round for each number of workers from one on.

    Args:
        stage: The services; the plain queue is used, and left empty.
        machines: Their workers are started here, and left standing still.
        filling: The messages.
        messages: For each round.
        tell: Gets a line for each round.
    """
    for machine in machines:
        machine.start(stage.environment(stage.plain))
    for machine in machines:
        machine.wait_until_ready()
    rounds: list[Round] = []
    for workers in range(1, len(machines) + 1):
        filling.fill(stage.plain, messages)
        rounds.append(_round(stage, machines[:workers], messages))
        tell(f"{workers} at work: {rounds[-1].rate:,.0f} events/s, {rounds[-1].busy:.2f} cores")
    return rounds


def _round(stage: Stage, machines: Sequence[Machine], messages: int) -> Round:
    """One round, of workers that stand still before and afterwards."""
    queue = stage.plain
    queue.answer_after(ANSWER_SECONDS)
    began = stage.now()
    for machine in machines:
        machine.resume()
    work = watch(stage, {"workers": [each.pid for each in machines]}, began, messages)
    queue.wait_until_quiet()
    for machine in machines:
        machine.pause()
    queue.answer_after(0)
    if left := stage.depth(queue):
        raise SystemExit(f"machines: {left} messages are left after a round")
    return Round.of(len(machines), messages, rate(stage.settled(began)), work)


def watch(stage: Stage, pids: Mapping[str, list[int]], began: float, messages: int) -> Work:
    """What is worked from the first batch on until most of the messages have been received.

    Args:
        stage: The services; it returns once the plain queue is empty.
        pids: The processes of each part that is not a service; their children count as they do.
        began: When, by the database's clock.
        messages: That wait.
    """
    pids = {**pids, "queue": [stage.plain.pid], "Postgres": [stage.postgres_pid]}
    first: Work | None = None
    most: Work | None = None
    deadline = time.monotonic() + _ROUND_SECONDS
    while stage.depth(stage.plain):
        received = stage.progress(began).received
        if first is None and received:
            first = look(pids)
        if most is None and received >= MOST * messages:
            most = look(pids)
        if time.monotonic() > deadline:
            raise SystemExit("machines: the workers do not empty the queue")
        time.sleep(_GLANCE_SECONDS)
    last = look(pids)
    return (most or last).since(first or last)
