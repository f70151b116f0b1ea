"""What must hold in the simulated world: each property has a name, and a function of its own."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipeline.consume.batch import Account, Reject
from pipeline.errors import TableMismatch
from pipeline.local.queue.messages import Message as Queued
from pipeline.local.queue.messages import Place
from pipeline.reasons import Reason
from simulation.contract import LIMITS, NARROW, Kind, Said
from simulation.faulty_warehouse import Health

if TYPE_CHECKING:
    from simulation.run import Run
    from simulation.world import World

_FIRST_RELEASE: Final = 10.0  # seconds: what a message waits after its first failed delivery
_LONGEST_RELEASE: Final = 900.0


class Violation(AssertionError):
    """A property does not hold.

    Args:
        oracle: The name of the property.
        what: What was found instead.
    """

    def __init__(self, oracle: str, what: str) -> None:
        self.oracle = oracle
        super().__init__(f"{oracle}: {what}")


def nothing_is_lost(world: "World") -> None:
    """L: all that was sent is on the queue, a dead letter, in the table or in the quarantine."""
    there = _waiting(world) | _stored(world)
    if missing := world.sent.keys() - there - world.purged:
        raise Violation("nothing_is_lost", f"gone: {sorted(missing)}")


def nothing_is_doubled(world: "World") -> None:
    """D: one row for each event."""
    events = Counter(row["event"] for row in world.store.rows)
    if doubled := [event for event, count in events.items() if count > 1]:
        raise Violation("nothing_is_doubled", f"more than one row of {doubled}")


def no_date_moves(world: "World") -> None:
    """D: a row says when its event was first sent, however it came."""
    for row in world.store.rows:
        body = Said(str(row["event"]), Kind(str(row["text"]))).body
        moment = row["sent_at"]
        if body not in world.sent or moment not in world.sent[body].times:
            raise Violation("no_date_moves", f"{row} was never sent so")


def accounts_add_up(world: "World") -> None:
    """Each committed batch: received is what became of it, and that is what the tables hold."""
    for batch in world.store.batches:
        account = batch.account
        if (
            account.received != _sum(account)
            or account.loaded != batch.loaded
            or account.quarantined.total() != batch.quarantined
        ):
            raise Violation("accounts_add_up", f"{batch}")


def deleted_only_when_durable(world: "World", queue: str, message: Queued) -> None:
    """C: whatever is deleted is in the table or in the quarantine by then, or waits once more."""
    others = (each for each in world.messages() if each.id != message.id)
    if message.body not in _stored(world) | {each.body for each in others}:
        raise Violation("deleted_only_when_durable", f"{message.body} is deleted from {queue}")


def nothing_is_received_while_the_warehouse_is_down(world: "World", run: "Run") -> None:
    """A sick sink burns no delivery of a message."""
    if world.database.health is not Health.WELL and world.database.sick_since <= run.stage_began:
        raise Violation(
            "nothing_is_received_while_the_warehouse_is_down", f"received by {run.run_id}"
        )


def nothing_sound_is_quarantined(world: "World", run: "Run", rejects: Iterable[Reject]) -> None:
    """Only what breaks a rule goes to the quarantine, whatever the environment does."""
    for reject in rejects:
        said = world.sent[reject.entry.message.body].said
        wrong = {
            Reason.CONFLICT: _contradicted(world, said),
            Reason.REFUSED_BY_DATABASE: said.kind is Kind.CURSED,
            Reason.NOT_JSON: said.kind is Kind.BROKEN,
            Reason.TOO_LONG: said.kind is Kind.LONG and run.feed == NARROW,
        }
        if not wrong.get(reject.reason, False):
            raise Violation("nothing_sound_is_quarantined", f"{said} as {reject.reason}")


def a_batch_is_settled_whole(world: "World", run: "Run", bodies: AbstractSet[str]) -> None:
    """I: of a batch that has committed each message has a place, whatever the others are."""
    if left := bodies - _stored(world) - _waiting_elsewhere(world, run):
        raise Violation("a_batch_is_settled_whole", f"{sorted(left)} have been left out")


def a_run_fails_with_a_cause(run: "Run", error: Exception) -> None:
    """No message makes a run fail: only what has gone wrong around it.

    But for one that the table refuses, and that was delivered so often that it stands apart: alone
    it proves as much against the table as against itself.
    """
    if isinstance(error, TableMismatch) and any(Kind.CURSED in body for body in run.client.bodies):
        return
    if not run.process.troubled:
        raise Violation("a_run_fails_with_a_cause", f"{run.run_id}: {error}")


def what_is_released_comes_back(world: "World", run: "Run") -> None:
    """After a failure each message is visible again when its back-off is over, and no later."""
    if run.process.excused:
        return
    for message in _own(world, run):
        pause = min(_FIRST_RELEASE * 2.0 ** (message.receives - 1), _LONGEST_RELEASE)
        if message.place is Place.IN_FLIGHT and message.visible_at > world.clock.now + pause:
            late = message.visible_at - world.clock.now
            raise Violation("what_is_released_comes_back", f"{message.body} in {late} s")


def what_is_held_stays_hidden(world: "World") -> None:
    """A heartbeat keeps what a run holds from others, for as long as it may hold it."""
    for run in world.runs:
        limit = run.began + LIMITS.hold_seconds
        if not run.holds or run.process.excused or world.clock.now > limit:
            continue
        for message in _own(world, run):
            if message.place is Place.READY and message.body not in run.given_back:
                raise Violation("what_is_held_stays_hidden", f"{message.body} of {run.run_id}")


def what_hangs_lets_go(world: "World") -> None:
    """A run that hangs keeps its messages no longer than it may hold them, and a timeout."""
    for run in world.runs:
        limit = run.began + LIMITS.hold_seconds + LIMITS.visibility_seconds
        if run.holds and world.clock.now > limit:
            for message in _own(world, run):
                if message.place is Place.IN_FLIGHT:
                    raise Violation("what_hangs_lets_go", f"{message.body} of {run.run_id}")


def what_is_settled_is_deleted(world: "World", run: "Run", kept: AbstractSet[str]) -> None:
    """A committed batch is acknowledged whole, also where SQS fails for some at first.

    Args:
        world: Where.
        run: Whose batch.
        kept: Receipts of what is not to be deleted yet, or was refused for good before.
    """
    if run.process.troubled:
        return
    own = (each for each in _own(world, run) if each.place is Place.IN_FLIGHT)
    due = (each for each in own if each.receipt not in kept)
    if left := [each.body for each in due if each.body not in run.given_back]:
        raise Violation("what_is_settled_is_deleted", f"still there: {left}")


def everything_has_drained(world: "World") -> None:
    """R: when nothing goes wrong any more, the queue is empty within the bound."""
    if left := [message.body for message in world.on(NARROW.queue)]:
        raise Violation("everything_has_drained", f"still waiting: {left}")


def every_sound_event_is_loaded(world: "World") -> None:
    """I: in the end no message has kept another out of the table.

    Where an event has also said what the table refuses, the two contradict each other, and which
    one is in the quarantine as a conflict depends on which came first.
    """
    events = {row["event"] for row in world.store.rows}
    events |= {each.said.event for each in world.sent.values() if each.said.kind is Kind.CURSED}
    for each in world.sent.values():
        if each.said.kind.sound and each.said.event not in events:
            raise Violation("every_sound_event_is_loaded", f"{each.said} is not")


AT_EVERY_MOMENT: Final[Sequence[Callable[["World"], None]]] = (
    nothing_is_lost,
    nothing_is_doubled,
    no_date_moves,
    accounts_add_up,
    what_is_held_stays_hidden,
    what_hangs_lets_go,
)
"""The properties of the whole world."""


def _stored(world: "World") -> set[str]:
    """The bodies that are in the table or in the quarantine."""
    rows = {Said(str(row["event"]), Kind(str(row["text"]))).body for row in world.store.rows}
    return rows | {entry.message.body for entry in world.store.quarantine.values()}


def _waiting(world: "World") -> set[str]:
    return {message.body for message in world.messages()}


def _waiting_elsewhere(world: "World", run: "Run") -> set[str]:
    """The bodies of messages that are not the run's own."""
    own = set(run.client.received.values())
    return {message.body for message in world.messages() if message.id not in own}


def _contradicted(world: "World", said: Said) -> bool:
    """Whether the same event has said something else, too."""
    return any(each.said.event == said.event and each.said != said for each in world.sent.values())


def in_flight(world: "World", run: "Run") -> set[str]:
    """The receipts of what a run has received and is hidden."""
    return {each.receipt for each in _own(world, run) if each.place is Place.IN_FLIGHT}


def _own(world: "World", run: "Run") -> Iterable[Queued]:
    """The messages that a run holds by the latest receipt, as they stand on the queue."""
    queue = world.queues.get(NARROW.queue)
    for receipt, message_id in run.client.received.items():
        message = queue.find(message_id)
        if message is not None and message.receipt == receipt:
            yield message


def _sum(account: Account) -> int:
    others = account.duplicate + account.quarantined.total() + account.released
    return account.loaded + others


def at(seconds: float) -> datetime:
    """A moment as the table has it: SQS tells milliseconds."""
    return datetime.fromtimestamp(int(seconds * 1000) / 1000, UTC)
