"""A message, and the queue as a run sees it; `pipeline.resources.sqs` is the real one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar


@dataclass(frozen=True, slots=True)
class Message:
    """A message as SQS delivered it.

    Attributes:
        message_id: SQS's id; another one after a dead-letter redrive.
        receipt: The handle of this delivery.
        body: The raw body: shown nowhere, not even in this object's representation.
        sent_at: When SQS took the message, UTC.
        received_at: When this run got it, UTC.
        receive_count: How often it has been delivered, this time included.
        event_id: The producer's `event_id` attribute, if it sent one.
        origin: Who it was when it was first sent, if it says so: see `pipeline.consume.origin`.
        given_up_by: The ARN of the queue that it is a dead letter of, where SQS was asked and
            knows it.
        trace: The context of its trace, where it was asked for and is one: see
            `pipeline.trace_context`.
    """

    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    sent_at: datetime
    received_at: datetime
    receive_count: int
    event_id: str | None = field(default=None, repr=False)
    origin: str | None = field(default=None, repr=False)
    given_up_by: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A message as a producer sends it.

    Attributes:
        event_id: Which event it is; the same one again is the same event again. Empty where a
            message is sent again that came without.
        body: The raw body.
        origin: Who it was when it was first sent, where it is sent again.
        trace: The context of its trace, where there is one.
    """

    event_id: str
    body: str = field(repr=False)
    origin: str | None = field(default=None, repr=False)
    trace: str | None = None


_Sent = TypeVar("_Sent", Message, Event)


@dataclass(frozen=True, slots=True)
class Refusals(Generic[_Sent]):
    """What a batch call of SQS did not do.

    Attributes:
        retry: What may pass when tried again.
        final: What will not (`SenderFault`: as with a receipt that is no longer good).
    """

    retry: tuple[_Sent, ...] = ()
    final: tuple[_Sent, ...] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """What SQS answered to events that were sent.

    Attributes:
        message_ids: SQS's id of each event, in their order; None for one that it did not take.
        refusals: Those that it did not take.
    """

    message_ids: tuple[str | None, ...]
    refusals: Refusals[Event] = Refusals()


Ask = TypeVar("Ask")
Outcome = TypeVar("Outcome")


class Calls(Protocol[Ask, Outcome]):
    """Calls of one kind, several of them under way; for one thread."""

    @property
    def under_way(self) -> int:
        """How many calls have begun whose end was not told yet."""

    def begin(self, ask: Ask) -> None:
        """Begins a call."""

    def ended(self) -> list[tuple[Ask, Outcome | Exception]]:
        """The calls that have ended, with what came of each; waits a moment for the first one."""

    def close(self) -> None:
        """Ends; what is under way is waited for, and its outcome is not told."""


class Queue(Protocol):
    """One feed's queue. Every call raises `QueueError` where SQS does not do its work."""

    def receive(self, count: int) -> list[Message]:
        """Up to `count` (at most 10) messages; waits a moment where there are none."""

    def delete(self, messages: Sequence[Message]) -> Refusals[Message]:
        """Deletes up to 10 messages."""

    def hide(self, messages: Sequence[Message], seconds: int) -> Refusals[Message]:
        """Sets the visibility timeout of up to 10 messages; 0 shows them at once."""

    def receives(self, at_once: int) -> Calls[int, list[Message]]:
        """Calls of `receive`, at most so many under way."""

    def deletes(self, at_once: int) -> Calls[Sequence[Message], Refusals[Message]]:
        """Calls of `delete`, at most so many under way."""
