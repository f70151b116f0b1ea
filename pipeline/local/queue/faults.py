"""What can be made to go wrong with the embedded queue: effects, and the rules that call for them.

Both are structures that JSON can hold: `{"operation": "ReceiveMessage", "effect": {"kind":
"short", "most": 1}, "probability": 0.1, "calls": [1, 50], "queue": "login-queue"}`.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from pipeline.local.queue.operations import OPERATIONS
from pipeline.local.queue.settings import MAX_DELAY

ANY: Final = "*"
"""As a rule's operation: every one."""

# Of HTTP; every other code comes with 400. Source: Amazon SQS API reference, "Common Error Types".
_STATUSES: Final = {
    "AccessDenied": 403,
    "AccessDeniedException": 403,
    "ExpiredToken": 403,
    "InternalFailure": 500,
    "InvalidClientTokenId": 403,
    "InvalidSecurity": 403,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
}


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


class Effect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag=_snake):
    """Something that goes wrong with a call."""

    @property
    def kind(self) -> str:
        """What it is counted as: its tag in JSON, with the code if it has one."""
        tag = str(self.__struct_config__.tag)
        code = getattr(self, "code", "")
        return f"{tag}:{code}" if code else tag


class Duplicate(Effect, frozen=True):
    """A message comes twice in one answer, each time with a receipt of its own."""


class Redeliver(Effect, frozen=True):
    """The messages received are visible again after so many seconds, whatever their timeout."""

    seconds: float = 0.0


class Undelete(Effect, frozen=True):
    """A deleted message is delivered again."""


class Reorder(Effect, frozen=True):
    """The next messages come in another order.

    Attributes:
        among: How many of those that are ready change places.
    """

    among: int = 100


class Short(Effect, frozen=True):
    """At most so many messages are received, though more are asked for and wait."""

    most: int = 1


class Empty(Effect, frozen=True):
    """Nothing is received, and at once, though messages wait."""


class Late(Effect, frozen=True):
    """What is sent is visible so many seconds later than it should be."""

    seconds: int = 1


class Delay(Effect, frozen=True):
    """The answer comes after so many seconds; the work is done at once."""

    seconds: float = 1.0


class Fail(Effect, frozen=True):
    """The call is refused, and nothing is done.

    Attributes:
        code: The error's shape in the SQS model, or a common error of AWS.
        status: Of HTTP, where it is not the code's usual one.
    """

    code: str
    status: int | None = None

    @property
    def http_status(self) -> int:
        """The status to answer with."""
        return self.status or _STATUSES.get(self.code, 400)


class Part(Effect, frozen=True):
    """Entries of a batch are answered as failed.

    Attributes:
        share: With which probability each; at least one is.
        done: Whether that is untrue, and they were done.
    """

    code: str = "InternalError"
    sender_fault: bool = False
    share: float = 0.5
    done: bool = False


class Drop(Effect, frozen=True):
    """The connection is cut, and nothing is done."""


class LoseAnswer(Effect, frozen=True):
    """The work is done, and the connection is cut instead of an answer."""


AnyEffect = (
    Duplicate
    | Redeliver
    | Undelete
    | Reorder
    | Short
    | Empty
    | Late
    | Delay
    | Fail
    | Part
    | Drop
    | LoseAnswer
)

_RECEIVE: Final = frozenset({"ReceiveMessage"})
_FITS: Final[Mapping[type[Effect], frozenset[str]]] = {
    **dict.fromkeys((Duplicate, Redeliver, Reorder, Short, Empty), _RECEIVE),
    Late: frozenset({"SendMessage", "SendMessageBatch"}),
    Undelete: frozenset({"DeleteMessage", "DeleteMessageBatch"}),
    Part: frozenset(name for name in OPERATIONS if name.endswith("Batch")),
}


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an effect takes place.

    Attributes:
        operation: As SQS calls it, or `*`.
        effect: What happens.
        probability: For each call that the rule is about.
        calls: The first and the last such call, counted from 1; no last one is without end.
        queue: The name of the only queue it is about.

    Raises:
        ValueError: It cannot be meant so; the text names the field.
    """

    operation: str
    effect: AnyEffect
    probability: float = 1.0
    calls: tuple[int, int | None] | None = None
    queue: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.operation != ANY and self.operation not in OPERATIONS:
            raise ValueError("operation: no operation of the embedded queue, nor `*`")
        fits = _FITS.get(type(self.effect))
        if fits is not None and self.operation not in fits:
            raise ValueError(f"operation: {self.effect.kind} is for {', '.join(sorted(fits))}")
        if not 0 <= self.probability <= 1:
            raise ValueError("probability: from 0 to 1")
        first, last = self.calls or (1, None)
        if first < 1 or (last is not None and last < first):
            raise ValueError("calls: the first, from 1, and the last, or null")
        _check(self.effect)


def _check(effect: AnyEffect) -> None:
    if isinstance(effect, Redeliver | Delay) and not 0 <= effect.seconds < float("inf"):
        raise ValueError("effect.seconds: 0 or more")
    if isinstance(effect, Late) and not 1 <= effect.seconds <= MAX_DELAY:
        raise ValueError(f"effect.seconds: 1 to {MAX_DELAY}")
    if isinstance(effect, Reorder) and effect.among < 2:  # noqa: PLR2004 - fewer have no order
        raise ValueError("effect.among: 2 or more")
    if isinstance(effect, Short) and effect.most < 1:
        raise ValueError("effect.most: 1 or more")
    if isinstance(effect, Fail) and not 400 <= effect.http_status < 600:  # noqa: PLR2004 - errors of HTTP
        raise ValueError("effect.status: 400 to 599")
    if isinstance(effect, Part) and not 0 <= effect.share <= 1:
        raise ValueError("effect.share: from 0 to 1")
