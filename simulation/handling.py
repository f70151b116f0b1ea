"""What people do in the simulated world: redrive, change the contract, prune, and wait."""

import threading
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Final, cast

from pipeline.consume.origin import again
from pipeline.errors import QueueError
from pipeline.messages import Message
from pipeline.operate.dead_letters.copying import Copying
from pipeline.operate.dead_letters.order import Order, Tally
from pipeline.operate.retention.settings import LEDGER_FLOOR
from pipeline.resources.sqs import SqsQueue
from simulation.client import Client
from simulation.contract import DEAD_LETTERS, KEYRING, NARROW, WIDE
from simulation.faults import Fault
from simulation.process import Killed, Process
from simulation.world import World

if TYPE_CHECKING:
    from pipeline.resources.dead_letter_queue import DeadLetterQueue

# What makes it pause, which it does by the machine's clock.
_SPARED: Final = frozenset({Fault.IN_PART, Fault.DONE_YET_FAILED})
_TEN: Final = 10  # messages of one call, the limit of SQS
_SECRET: Final = KEYRING.settlement_key(NARROW.name)


class Reached(IntEnum):
    """The steps of a redrive from the quarantine."""

    DELETED = 1  # within the transaction
    SENT = 2
    COMMITTED = 3


@dataclass(frozen=True, slots=True)
class _Queues:
    """The two queues of a redrive, as far as it looks at them."""

    letters: SqsQueue
    source: SqsQueue

    def is_foreign(self, letter: Message) -> bool:
        """No other queue gives anything up to this one."""
        del letter
        return False


class _NoPause(threading.Event):
    """Never set, and waits for nothing: a redrive keeps to its rate by the machine's clock."""

    def wait(self, timeout: float | None = None) -> bool:
        """At once."""
        del timeout
        return False


def redrive_dead_letters(world: World) -> int:
    """Copies dead letters back, by the project's own code; how many were moved for sure."""
    process, tally = Process(world, _SPARED), Tally()
    boto3 = Client(process, world.sqs, lambda: None).as_boto3()
    order = Order(feed=NARROW, reason="a drill", stated_by="nobody", per_second=500)
    try:
        there = replace(NARROW, queue=DEAD_LETTERS)
        queues = _Queues(SqsQueue(boto3, there), SqsQueue(boto3, NARROW))
        copying = Copying(cast("DeadLetterQueue", queues), _SECRET, order, tally)
        copying.run(_NoPause(), lambda: None)
    except (QueueError, Killed):
        pass
    process.kill()
    return tally.moved


def redrive_quarantine(world: World, *, most: int, reached: Reached) -> int:
    """Sends quarantined messages again, in one transaction with their leaving the quarantine.

    Args:
        world: The world.
        most: Messages at most.
        reached: The last step that is done; the process dies after it.

    Returns:
        How many were sent.
    """
    taken = list(world.store.quarantine.items())[: min(most, _TEN)]
    if reached < Reached.SENT:
        return 0
    for _, entry in taken:
        world.put(again(entry.message, _SECRET))
    if reached is Reached.COMMITTED:
        for key, _ in taken:
            del world.store.quarantine[key]
    return len(taken)


def lose_deliveries(world: World, count: int) -> None:
    """Somebody looks at what waits, and takes none of it: each time costs it a delivery."""
    for _ in range(count):
        world.queues.receive(NARROW.queue, most=_TEN, visibility=0)


def change_contract(world: World) -> None:
    """Deploys the other contract; runs that have begun go on with theirs."""
    world.feed = WIDE if world.feed == NARROW else NARROW


def prune_ledger(world: World) -> None:
    """Forgets what is past the retention of the ledger.

    An event that the ledger has forgotten would be loaded again. So whoever keeps the quarantine
    purges what other messages said of it, and no producer sends it again.
    """
    world.store.prune_ledger(LEDGER_FLOOR)
    loaded = {row["event"] for row in world.store.rows}
    old = world.clock.now - LEDGER_FLOOR * 86_400
    for key, entry in list(world.store.quarantine.items()):
        sent = world.sent[entry.message.body]
        if sent.said.event in loaded and sent.times[0].timestamp() < old:
            del world.store.quarantine[key]
            world.purged.add(entry.message.body)
