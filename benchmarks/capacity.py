"""A small model of what one run moves, fitted to the measurements that are kept, and what follows.

docs/capacity.md says how the model comes about, and where it stops being true.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

import typer

from benchmarks.loops import BARE_THREADS
from pipeline.contract import Limits

_KEPT: Final = Path("docs/benchmarks/peers.json")
_TEN: Final = 10  # messages of one call
_CALLS: Final = 0.2  # a message: one to receive ten, one to delete them
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What one run moves.

    Attributes:
        message_us: Microseconds of the machine for one message.
        call_ms: Milliseconds that a call takes beside SQS's own time to answer.
        busy: The share of its calls that a run keeps under way, of those that it may.
        under_way: Receives under way at once, at most, and deletes beside them.
        batch: Messages of a batch.
    """

    message_us: float
    call_ms: float
    busy: float
    under_way: int
    batch: int

    @classmethod
    def fitted(cls, measured: "Measured", limits: Limits) -> Self:
        """The model for rates that were measured with such limits.

        The shortest answer time tells what a message costs, the longest one how many calls are
        under way, and the bare calls what a call takes.
        """
        model = cls(
            message_us=0.0,
            call_ms=measured.call_ms,
            busy=1.0,
            under_way=limits.receivers,
            batch=limits.batch_messages,
        )
        shortest, longest = min(measured.rates), max(measured.rates)
        count = measured.messages

        def by_message(message_us: float) -> float:
            return replace(model, message_us=message_us).rate(shortest, count)

        def by_slack(slack: float) -> float:
            return replace(model, busy=1 / slack).rate(longest, count)

        for _ in range(20):  # each of the two depends a little on the other
            model = replace(model, message_us=_solved(by_message, measured.rates[shortest]))
            model = replace(model, busy=1 / _solved(by_slack, measured.rates[longest]))
        return model

    def seconds(self, answer_ms: float, messages: int) -> float:
        """How long a run takes for so many messages, on a machine like the measured one."""
        batches = math.ceil(messages / self.batch)
        size = messages / batches
        calls = (answer_ms + self.call_ms) / 1e3 / _TEN * size / (self.under_way * self.busy)
        work = self.message_us / 1e6 * size
        # Two batches are in hand, of which one receives: half of all three sets the pace, or
        # the work where it is longer.
        pace = max(calls + work / 2, work)
        return 2 * calls + work + (batches - 1) * pace

    def rate(self, answer_ms: float, messages: int) -> float:
        """Messages a second of a run with so many messages."""
        return messages / self.seconds(answer_ms, messages)


@dataclass(frozen=True, slots=True)
class Measured:
    """What `peers` has kept.

    Attributes:
        messages: Of a run.
        rates: Messages a second of our own drain, by SQS's answer time in milliseconds.
        call_ms: What a bare call takes beside the longest of these times.
    """

    messages: int
    rates: Mapping[float, float]
    call_ms: float

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """As the JSON says it."""
        rates = {
            name: {
                float(each["delay_ms"]): float(each["rate"])
                for each in kept["medians"]
                if each["contender"] == name
            }
            for name in ("ours", "bare lean")
        }
        longest = max(rates["ours"])
        # Each thread receives ten and deletes ten, one after the other.
        took = 1e3 * _TEN * BARE_THREADS / (2 * rates["bare lean"][longest])
        return cls(int(kept["settings"]["messages"]), rates["ours"], max(took - longest, 0.0))


def _solved(rate: Callable[[float], float], wanted: float) -> float:
    """The number for which a rate is what is wanted; the rate falls as the number grows."""
    low, high = 1e-3, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) > wanted else (low, middle)
    return (low + high) / 2


def capacity(
    rate: Annotated[float, typer.Option(help="Messages a second that are to be moved.", min=1)] = (
        1e9 / _DAY
    ),
    answer_ms: Annotated[float, typer.Option(help="Answer time of SQS.", min=0)] = 10.0,
    kept: Annotated[Path, typer.Option(help="The measurements: JSON of `peers`.")] = _KEPT,
) -> None:
    """Fit the model to kept measurements, hold it against them, and size a deployment by it."""
    limits = Limits()
    measured = Measured.of(json.loads(kept.read_text()))
    model = Model.fitted(measured, limits)
    print(
        f"one message {model.message_us:.0f} µs, a call {model.call_ms:.1f} ms beside SQS's answer,"
        f" {model.busy:.2f} of {model.under_way} receives and as many deletes under way"
    )
    for answer, seen in sorted(measured.rates.items()):
        told = model.rate(answer, measured.messages)
        print(f"answer {answer:4.0f} ms: measured {seen:6.0f}/s, by the model {told:6.0f}/s")
    of_a_run = model.rate(answer_ms, limits.run_messages)
    calls = rate * _CALLS * _DAY / 1e6
    print(
        f"{rate:,.0f} messages/s at {answer_ms:g} ms: {of_a_run:,.0f}/s a run,"
        f" {math.ceil(rate / of_a_run)} runs with a machine each;"
        f" {calls:,.0f} million calls of SQS a day"
    )
