"""The queue of a rehearsal: before it lets a message go, a witness looks into the warehouse."""

import random
from collections.abc import Callable
from typing import Final

import psycopg

from crashes.mark import Mark
from pipeline.consume.settlement import Identity
from pipeline.local.queue.messages import Attribute, Message
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.receipts import message_id_in

_EVENT_ID: Final = "event_id"
_DURABLE: Final = """
SELECT EXISTS (SELECT FROM pipeline.ledger WHERE key = %(key)s AND content = %(content)s)
    OR EXISTS (SELECT FROM pipeline.quarantine WHERE key = %(quarantine)s)
"""


class Witness:
    """Counts the messages that are deleted before they are durable (oracle C).

    Attributes:
        looks: How many deletes it has seen.
        early: How many of them came before the commit.

    Args:
        identity: What computes the marks.
        connection: Its own, to the warehouse; each statement a transaction.
    """

    def __init__(self, identity: Identity, connection: psycopg.Connection) -> None:
        self._identity, self._connection = identity, connection
        self.looks = 0
        self.early = 0

    def look(self, event_id: str, body: str) -> None:
        """Looks at a message that is about to be deleted."""
        mark = Mark.of(self._identity, event_id, body)
        named = {"key": mark.key, "content": mark.content, "quarantine": mark.quarantine}
        row = self._connection.execute(_DURABLE, named).fetchone()
        self.looks += 1
        self.early += row != (True,)


class WitnessedQueues(Queues):
    """Queues with a witness at each delete.

    Args:
        clock: Seconds since the epoch.
        witness: Looks before the delete is done.
    """

    def __init__(self, clock: Callable[[], float], witness: Witness) -> None:
        super().__init__(clock=clock, rng=random.Random(1))  # noqa: S311 - ids, the same every time
        self._witness = witness

    def acknowledge(self, name: str, receipt: str) -> None:
        """As SQS does, once it has been looked at."""
        message = self.get(name).find(message_id_in(receipt, name))
        if message is not None and message.receipt == receipt:
            self._witness.look(event_id_of(message), message.body)
        super().acknowledge(name, receipt)


def event_id_of(message: Message) -> str:
    """The id that the sender gave the event."""
    return message.attributes[_EVENT_ID].string_value or ""


def attributes_for(event_id: str) -> dict[str, Attribute]:
    """The attributes with which an event of that id is sent."""
    return {_EVENT_ID: Attribute("String", event_id)}
