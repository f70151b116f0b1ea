"""What a channel has been told: where it has got to, and what it is not told again for an hour."""

import msgspec

from pipeline.operate.alerts.alert import Alert


class Repeat(msgspec.Struct):
    """A failure that was told of.

    Attributes:
        alert: The latest of its kind.
        kind: Which kind of failures it is of.
        subject: By which its kind knows whether it is over.
        told_at: When it was told of, in seconds since the epoch.
        count: How many times it has happened since.
    """

    alert: Alert
    kind: str
    subject: str
    told_at: float
    count: int = 0


class State(msgspec.Struct):
    """What a channel has been told.

    Attributes:
        positions: Up to where, of each kind of failures.
        repeats: What was told of within the hour.
        tries: How often the next alert was refused.
        next_try: When it is tried again.
    """

    positions: dict[str, float]
    repeats: dict[str, Repeat] = {}
    tries: int = 0
    next_try: float = 0.0
