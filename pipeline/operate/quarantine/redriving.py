"""Puts messages of the quarantine back on their feed's own queue, as what they were.

Ten at a time, in one transaction: they leave the quarantine, are sent with their event id and
their origin, and what SQS refuses is put back. Whoever would quarantine one of them again waits
for the commit. Where it fails after the sending, entry and message are both there, and ledger and
quarantine settle that as they settle any duplicate: docs/quarantine.md.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import psycopg

from pipeline.consume import origin
from pipeline.contract import Feed
from pipeline.errors import KeyringError, QuarantineError
from pipeline.masking.keyring import Keyring
from pipeline.messages import Event, Message
from pipeline.operate.custody import connected, load_keyring
from pipeline.operate.quarantine.looking import unseal
from pipeline.produce.dispatch import BYTES, Outlet, dispatch, portions, weigh
from pipeline.resources.outside import Outside
from pipeline.warehouse import audit, quarantine
from pipeline.warehouse.quarantine import Sealed, Selection

RATE: Final = 100
"""Messages a second, unless somebody says otherwise."""

_HOURS: Final = 23  # a request is good for a day, and closed within it


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be redriven, and why.

    Attributes:
        feed: Whose messages; they go to its queue.
        selection: Which; of those that lie there when the order is recorded.
        reason: Why, in words that an auditor will understand.
        stated_by: Who asks, by their own account.
        rate: Messages a second at most.
    """

    feed: Feed
    selection: Selection
    reason: str
    stated_by: str
    rate: float = RATE


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of an order.

    Attributes:
        sent: Messages that are on the queue again.
        refused: Those that SQS did not take; they lie where they lay.
        unreadable: Those that do not open with the keyring; so do these.
    """

    sent: int = 0
    refused: int = 0
    unreadable: int = 0

    def lines(self) -> list[str]:
        """What is told of it."""
        told = [f"redriven: {self.sent}"]
        if self.refused:
            told.append(f"left in the quarantine, since SQS does not take them: {self.refused}")
        if self.unreadable:
            told.append(
                f"left in the quarantine, since they do not open with the keyring:"
                f" {self.unreadable}"
            )
        return told


def check_time(feed: Feed, messages: int, rate: float) -> None:
    """Makes sure that a redrive can end while its request is good.

    Raises:
        QuarantineError: So many take longer at this rate.
    """
    if rate > 0 and messages > rate * _HOURS * 3600:
        enough = math.ceil(messages / (_HOURS * 3600))
        raise QuarantineError(
            f"{messages} messages at {rate:g} a second take longer than {_HOURS} hours, and a"
            " request is good for a day",
            remedy=f"Redrive them at {enough} a second or more, or in parts, by reason code or age;"
            " nothing was redriven",
            feed=feed.name,
        )


def redrive(outside: Outside, order: Order, *, tell: Callable[[str], None]) -> Redriven:
    """Records the order, commits that, and redrives what it is for.

    It may be stopped at any moment, and begun again.

    Args:
        outside: Where the queue, the warehouse and the keys are.
        order: What is to be done.
        tell: Told of the progress.

    Raises:
        QuarantineError: The rate is none.
        SettingsError: There is no custodian's log-in.
        KeyringError: The keyring cannot be had, or is not the warehouse's.
        AuditRefused: The order breaks a rule, or the log-in is no custodian.
        QueueError: SQS refused or did not answer: what it may have taken of ten messages lies in
            the quarantine as well, which is harmless.
        WarehouseError: Postgres is down, or refuses: as above.
    """
    if not 0 < order.rate < math.inf:
        raise QuarantineError(
            "the rate is not above 0", remedy="Give messages a second, such as 100"
        )
    url, feed = outside.custodian_url(), order.feed
    keyring = load_keyring(outside, url, feed)
    courier = _Courier(outside.queue_for_a_run(feed), feed, keyring)
    done, beyond = Redriven(), b""
    with connected(url, feed=feed.name) as connection:
        asked = quarantine.request(
            connection, "redrive", order.selection, reason=order.reason, stated_by=order.stated_by
        )
        began = time.monotonic()
        while taken := _move(connection, asked, beyond, courier):
            done, beyond = courier.done, taken[-1].key
            tell(f"redriven {done.sent}")
            # From portion to portion: one that took long is not made up for by a burst.
            time.sleep(max(0.0, began + len(taken) / order.rate - time.monotonic()))
            began = time.monotonic()
        quarantine.close(connection, asked, "redrive")
    return done


def _move(
    connection: psycopg.Connection, asked: UUID, beyond: bytes, courier: "_Courier"
) -> list[Sealed]:
    """One portion, in one transaction; what was taken."""
    with audit.refusals(), connection.transaction():
        taken = quarantine.take(connection, asked, beyond)
        if taken:
            quarantine.settle(connection, asked, courier.send(taken))
    return taken


class _Courier:
    """Sends what was sealed, and counts."""

    def __init__(self, queue: Outlet, feed: Feed, keyring: Keyring) -> None:
        self._queue = queue
        self._feed = feed
        self._keyring = keyring
        self._secret = keyring.settlement_key(feed.name)
        self.done = Redriven()

    def send(self, taken: Sequence[Sealed]) -> list[bytes]:
        """Sends messages; the keys of those that SQS has taken."""
        events = {each.key: event for each in taken if (event := self._event(each)) is not None}
        fitting = {key: event for key, event in events.items() if weigh(event) <= BYTES}
        sent = []
        for portion in portions(fitting.values()):
            answer = dispatch(self._queue, portion)
            took = {
                id(event) for event, name in zip(portion, answer.message_ids, strict=True) if name
            }
            sent += [key for key, event in fitting.items() if id(event) in took]
        self.done = Redriven(
            sent=self.done.sent + len(sent),
            refused=self.done.refused + len(events) - len(sent),
            unreadable=self.done.unreadable + len(taken) - len(events),
        )
        return sent

    def _event(self, sealed: Sealed) -> Event | None:
        try:
            opened = unseal(sealed, self._feed, self._keyring)
        except KeyringError:
            return None
        first = Message(
            message_id=opened.message_id,
            receipt="",
            body=opened.body,
            sent_at=opened.sent_at,
            received_at=opened.sent_at,
            receive_count=0,
            event_id=opened.event_id,
        )
        return origin.again(first, self._secret)
