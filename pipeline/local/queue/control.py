"""Calls that steer a misbehaving queue: its rules, its clock, and what it did so far."""

from collections.abc import Callable
from typing import Final

import msgspec

from pipeline.local.queue.clock import ManualClock
from pipeline.local.queue.errors import SqsError, refused_value
from pipeline.local.queue.faults import Rule
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.operation import Answer
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.witness import Witness


class SetRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Replace all rules, and begin their chance anew from a seed."""

    rules: list[Rule] = []
    seed: int = 0


class AdvanceClock(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Let so many seconds pass at once."""

    seconds: float


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Say what happened so far."""


class Control:
    """The operations of the target `QueueControl`.

    Args:
        queues: Whose clock may be moved, if it is a `ManualClock`.
        misbehaviour: The rules, and the counts.
        witness: Whose findings are told, if there is one.
    """

    def __init__(self, queues: Queues, misbehaviour: Misbehaviour, witness: Witness | None) -> None:
        self._queues = queues
        self._misbehaviour = misbehaviour
        self._witness = witness

    def perform(self, operation: str, body: bytes) -> Answer:
        """Carry out a call.

        Raises:
            SqsError: It is unknown or malformed; the text names the place, such as `$.rules[2]`.
        """
        known = _FORMS.get(operation)
        if known is None:
            raise SqsError("UnknownOperationException", f"There is {', '.join(_FORMS)}.")
        form, act = known
        try:
            return act(self, msgspec.json.decode(body, type=form))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise SqsError("SerializationException", str(error)) from None

    def set_rules(self, request: SetRules) -> Answer:
        """Replace the rules."""
        self._misbehaviour.set_rules(request.rules, request.seed)
        return {}

    def advance_clock(self, request: AdvanceClock) -> Answer:
        """Move the clock on.

        Raises:
            SqsError: It is not one that can be moved, or not back.
        """
        clock = self._queues.clock
        if not isinstance(clock, ManualClock):
            raise refused_value("seconds", "This queue's clock cannot be moved.")
        try:
            clock.advance(request.seconds)
        except ValueError as error:
            raise refused_value("seconds", str(error)) from None
        return {"now": clock()}

    def counts(self, _: Counts) -> Answer:
        """How often each operation was called, and each kind of fault took place."""
        answer: Answer = {
            "now": self._queues.clock(),
            "calls": self._misbehaviour.calls,
            "faults": self._misbehaviour.counts,
        }
        if self._witness is not None:
            violations = [violation._asdict() for violation in self._witness.violations]
            answer["witness"] = {"seen": self._witness.seen, "violations": violations}
        return answer


_FORMS: Final[dict[str, tuple[type[msgspec.Struct], Callable[..., Answer]]]] = {
    "SetRules": (SetRules, Control.set_rules),
    "AdvanceClock": (AdvanceClock, Control.advance_clock),
    "Counts": (Counts, Control.counts),
}
