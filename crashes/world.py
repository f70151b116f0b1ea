"""What a rehearsal needs outside itself: a Postgres, and a queue whose clock can be moved."""

import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from crashes.deployed import DELIVERIES, POISON, VISIBILITY, crash_feed
from crashes.sent import REFUSED, Found, Letter, Sent, login_letter, sound_letter, ten
from crashes.witness import Witness, WitnessedQueues, attributes_for, event_id_of
from pipeline.consume.readiness import check_sink
from pipeline.consume.settlement import Identity
from pipeline.local.queue.clock import ManualClock
from pipeline.local.queue.messages import Message, Place
from pipeline.local.queue.server import QueueServer, create_app
from pipeline.masking.key_file import KeyFile
from pipeline.warehouse.tables import table_name
from pipeline_tests.queue_fixtures import serving
from pipeline_tests.world import settings

_FIRST_RELEASE: Final = 10  # seconds; doubles with each delivery
_ATTRIBUTES: Final = {"MessageRetentionPeriod": "1209600"}
_POLICY: Final = '{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": "{most}"}}'


@dataclass(frozen=True, slots=True)
class World:
    """A queue and a warehouse, both real.

    Attributes:
        environment: The settings that lead there.
        queues: The state of the queue; touched only while no run is under way.
        clock: The queue's: the machine's own, and ahead of it by as much as it was moved.
        witness: Looks at each delete.
        sent: What has been sent.
        warehouse: A connection to the warehouse; each statement a transaction.
    """

    environment: Mapping[str, str]
    queues: WitnessedQueues
    clock: ManualClock
    witness: Witness
    sent: Sent
    warehouse: psycopg.Connection

    def visible(self) -> int:
        """How many messages a run could receive now."""
        return self.queues.get(_QUEUE).count(Place.READY)

    def waiting(self) -> list[Message]:
        """Every message on the queue, in flight or not."""
        return self.queues.get(_QUEUE).snapshot().messages

    def send(self, letters: Iterable[Letter]) -> None:
        """Sends messages, as SQS would have accepted them."""
        letters = list(letters)
        self.sent.add(letters)
        for letter in letters:
            self.queues.send(_QUEUE, letter.body, attributes=attributes_for(letter.event_id))

    def send_poison(self) -> str:
        """Sends what ends every run that reads it; its event id.

        It does not count as sent: what belongs to it is neither a row nor the quarantine.
        """
        letter = login_letter(str(uuid.uuid4()), POISON, device=POISON)
        self.queues.send(_QUEUE, letter.body, attributes=attributes_for(letter.event_id))
        return letter.event_id

    def take_dead_letters(self) -> list[str]:
        """Empties the dead-letter queue; the event ids of what was there."""
        letters = self.queues.get(_DEAD_LETTERS).snapshot().messages
        self.queues.purge(_DEAD_LETTERS)
        return [event_id_of(each) for each in letters]

    def fill(self, count: int) -> None:
        """Sends until at least so many messages are to be received; the last of them sound."""
        missing = count - self.visible()
        for _ in range(missing // 10):
            self.send(ten())
        self.send(sound_letter() for _ in range(missing % 10 if missing > 0 else 0))

    def all_visible(self) -> Iterator[str]:
        """Lets time pass until what dead runs held is visible; what was held for too long."""
        now = self.clock()
        held = [each for each in self.waiting() if each.place is Place.IN_FLIGHT]
        for message in held:
            back_off = _FIRST_RELEASE * 2 ** min(message.receives - 1, 6)
            if message.visible_at - now > max(VISIBILITY, back_off):
                yield "a message is hidden for longer than any rule says"
        if held:
            self.clock.set(max(each.visible_at for each in held) + 1)

    def most_received(self) -> int:
        """How often SQS has delivered one of the messages that are left, at most."""
        return max((each.receives for each in self.waiting()), default=0)

    def held_after_release(self) -> int:
        """How many messages are hidden for longer than their back-off: nobody has released them."""
        now = self.clock()
        return sum(
            each.place is Place.IN_FLIGHT
            and each.visible_at - now > _FIRST_RELEASE * 2 ** (each.receives - 1)
            for each in self.waiting()
        )

    def found(self) -> Found:
        """What the warehouse holds."""
        table = table_name(crash_feed())
        ask = self.warehouse.execute
        return Found(
            ledger=dict(ask("SELECT key, content FROM pipeline.ledger").fetchall()),
            quarantine=dict(ask("SELECT key, reason FROM pipeline.quarantine").fetchall()),
            rows=Counter(user for (user,) in ask(sql.SQL("SELECT user_id FROM {}").format(table))),
            accounts=ask(
                "SELECT received, loaded, duplicate, quarantined, released FROM pipeline.account"
            ).fetchall(),
        )

    def lacks(self) -> Iterator[str]:
        """What is wrong now."""
        waiting = {
            self.sent.mark(event_id_of(each), each.body).quarantine for each in self.waiting()
        }
        yield from self.sent.lacks(self.found(), waiting)
        if self.witness.early:
            yield f"{self.witness.early} messages were acknowledged before they were durable"
        if self.queues.get(_DEAD_LETTERS).snapshot().messages:
            yield "messages are in the dead-letter queue"

    def unsettled(self) -> Iterator[str]:
        """What is wrong once nothing is to be done any more."""
        yield from self.lacks()
        found = self.found()
        yield from self.sent.unsettled(found)
        settled = len(found.ledger) + len(found.quarantine)
        if self.witness.looks < settled:  # who did not look has seen nothing early either
            yield f"{self.witness.looks} deletes were witnessed, of {settled} messages at least"
        if left := self.waiting():
            yield f"{len(left)} messages are on the queue still"


_QUEUE: Final = crash_feed().queue
_DEAD_LETTERS: Final = f"{_QUEUE}-dead-letter"


@contextlib.contextmanager
def empty_world(postgres_url: str, folder: Path) -> Iterator[World]:
    """A world of its own.

    Args:
        postgres_url: An empty database.
        folder: An empty folder.
    """
    feed, clock = crash_feed(), ManualClock(time.time)
    key_file = KeyFile(folder / "keys" / "keyring.json")
    keyring = check_sink(feed, url=postgres_url, keyring=key_file)
    identity = Identity(feed, keyring.settlement_key(feed.name))
    with (
        psycopg.connect(postgres_url, autocommit=True) as warehouse,
        psycopg.connect(postgres_url, autocommit=True) as beside,
    ):
        warehouse.execute(
            sql.SQL("ALTER TABLE {} ADD CHECK (NOT starts_with(user_id, {}))").format(
                table_name(feed), sql.Literal(REFUSED)
            )
        )
        witness = Witness(identity, beside)
        queues = WitnessedQueues(clock, witness)
        _make_queue(queues)
        with serving(QueueServer(create_app(queues))) as endpoint:
            environment = settings(endpoint, postgres_url, folder)
            yield World(environment, queues, clock, witness, Sent(identity), warehouse)


def _make_queue(queues: WitnessedQueues) -> None:
    queues.create(_DEAD_LETTERS, _ATTRIBUTES, {})
    arn = queues.get(_DEAD_LETTERS).state.arn
    queues.create(
        _QUEUE, _ATTRIBUTES | {"RedrivePolicy": _POLICY.format(arn=arn, most=DELIVERIES)}, {}
    )
