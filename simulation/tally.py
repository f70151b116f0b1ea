"""What schedules have done, counted."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts over many schedules.

    Attributes:
        schedules: How many there were.
        rules: How often each rule was carried out.
        struck: How often each fault has had an effect.
        came: What else came about, and how often.
    """

    schedules: int = 0
    rules: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    came: Counter[str] = field(default_factory=Counter)
