"""What a channel has been told: where it has got to, and what it is not told again for an hour."""

import msgspec

from pipeline.operate.alerts.alert import Alert


class Repeat(msgspec.Struct):
    """A failure that was told of.

    Attributes:
        kind: Which kind of failures it is of.
        subject: By which its kind knows whether it is over.
        told_at: When it was told of, in seconds since the epoch.
        count: How many times it has happened since.
        alert: The latest of its kind; None where there are so many that there is no room for it.
    """

    kind: str
    subject: str
    told_at: float
    count: int = 0
    alert: Alert | None = None


class State(msgspec.Struct):
    """What a channel has been told.

    Attributes:
        positions: Up to where, of each kind of failures.
        repeats: What was told of within the hour, by the digest of what failed.
        tries: How often the next alert was refused.
        next_try: When it is tried again.
        untold: How many failures there were of which none is told of by itself.
        untold_at: When the last one of these happened, in seconds since the epoch.
        summed_at: When it was told how many they are.
    """

    positions: dict[str, float]
    repeats: dict[str, Repeat] = {}
    tries: int = 0
    next_try: float = 0.0
    untold: int = 0
    untold_at: float = 0.0
    summed_at: float = 0.0
