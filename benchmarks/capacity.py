"""A small model of what one run moves, fitted to the measurements that are kept, and what follows.

A run is as quick as the slower of two things: the processor, which every message costs some time,
and the calls of SQS, of which so many are under way and each takes its time. docs/capacity.md says
what the model leaves out.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

import typer

from pipeline.contract import Limits

_KEPT: Final = Path("docs/benchmarks/peers.json")
_TEN: Final = 10  # messages of one call
_CALLS: Final = 0.2  # a message: one to receive ten, one to delete them
_DAY: Final = 86_400
_LARGEST: Final = 2**20  # bytes that are set aside for each message that is asked for


@dataclass(frozen=True, slots=True)
class Model:
    """What one run moves.

    Attributes:
        message_us: Microseconds of the machine for one message, where SQS answers at once.
        call_ms: Milliseconds that a call takes beside SQS's own time to answer.
        in_flight: Receives under way at once.
    """

    message_us: float
    call_ms: float
    in_flight: int

    @classmethod
    def fitted(cls, rates: Mapping[float, float], in_flight: int) -> Self:
        """The model for rates that were measured.

        Args:
            rates: Messages a second by SQS's answer time in milliseconds: the shortest one is
                taken for the processor's limit, the longest one for that of the calls.
            in_flight: Receives under way at once.
        """
        shortest, longest = min(rates), max(rates)
        call = 1e3 * _TEN * in_flight / rates[longest] - longest
        return cls(1e6 / rates[shortest], max(call, 0.0), in_flight)

    def rate(self, answer_ms: float) -> float:
        """Messages a second of one run that has a machine like that of the measurements."""
        calls = 1e3 * _TEN * self.in_flight / (answer_ms + self.call_ms)
        return min(1e6 / self.message_us, calls)


def in_flight(receivers: int, batch_bytes: int) -> int:
    """How many receives are under way at once by a feed's limits."""
    return min(receivers, math.ceil(batch_bytes / (_TEN * _LARGEST)))


def measured(kept: Mapping[str, Any]) -> dict[float, float]:
    """Messages a second of our own drain, by the answer time in milliseconds."""
    ours = (each for each in kept["medians"] if each["contender"] == "ours")
    return {float(each["delay_ms"]): float(each["rate"]) for each in ours}


def capacity(
    rate: Annotated[float, typer.Option(help="Messages a second that are to be moved.", min=1)] = (
        1e9 / _DAY
    ),
    answer_ms: Annotated[float, typer.Option(help="Answer time of SQS.", min=0)] = 10.0,
    kept: Annotated[Path, typer.Option(help="The measurements: JSON of `peers`.")] = _KEPT,
) -> None:
    """Fit the model to kept measurements, hold it against them, and size a deployment by it."""
    limits = Limits()
    rates = measured(json.loads(kept.read_text()))
    under_way = in_flight(limits.receivers, limits.batch_bytes)
    model = Model.fitted(rates, under_way)
    print(
        f"one message {model.message_us:.0f} µs, a call {model.call_ms:.1f} ms beside SQS's answer,"
        f" {model.in_flight} receives under way"
    )
    for answer, seen in sorted(rates.items()):
        told = model.rate(answer)
        print(f"answer {answer:4.0f} ms: measured {seen:6.0f}/s, by the model {told:6.0f}/s")
    of_a_run = model.rate(answer_ms)
    calls = rate * _CALLS * _DAY / 1e6
    print(
        f"{rate:,.0f} messages/s at {answer_ms:g} ms: {of_a_run:,.0f}/s a run,"
        f" {math.ceil(rate / of_a_run)} runs with a machine each;"
        f" {calls:,.0f} million calls of SQS a day"
    )
