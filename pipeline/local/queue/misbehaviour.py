"""Which faults a call meets: drawn from a stream of chance for each rule, and counted."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pipeline.local.queue.faults import ANY, AnyEffect, Rule


class Chosen(NamedTuple):
    """An effect on one call, with chance of its own for what it does there."""

    effect: AnyEffect
    rng: random.Random


class Misbehaviour:
    """The rules in force, how far each has come, and what all did.

    The same seed gives the same decisions for the same sequence of calls; what one rule draws
    does not change what another does.

    Args:
        rules: At first.
        seed: For all of them.

    Attributes:
        calls: How often each operation was called.
        counts: How often each kind of fault took place: not where there was nothing to spoil.
    """

    def __init__(self, rules: Sequence[Rule] = (), seed: int = 0) -> None:
        self.calls: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self.set_rules(rules, seed)

    def set_rules(self, rules: Sequence[Rule], seed: int) -> None:
        """Begin anew with other rules; the counts go on."""
        self._streams = [_Stream(rule, f"{seed}/{number}") for number, rule in enumerate(rules)]

    def of_call(self, operation: str, queue: str) -> list[Chosen]:
        """What goes wrong with the next call, in the order of the rules.

        Args:
            operation: As SQS calls it.
            queue: The queue's name, empty for a call on none.
        """
        self.calls[operation] += 1
        drawn = [stream.draw(operation, queue) for stream in self._streams]
        return [chosen for chosen in drawn if chosen is not None]


class _Stream:
    """A rule, the calls it has seen, and its chance."""

    def __init__(self, rule: Rule, seed: str) -> None:
        self._rule = rule
        self._first, self._last = rule.calls or (1, None)
        self._seen = 0
        self._rng = random.Random(seed)  # noqa: S311 - to be the same again

    def draw(self, operation: str, queue: str) -> Chosen | None:
        rule = self._rule
        if rule.operation not in {operation, ANY} or rule.queue not in {queue, None}:
            return None
        self._seen += 1
        # Drawn for every call, and the effect's own chance apart: what it draws shifts nothing.
        hit = self._rng.random() < rule.probability
        if not hit or self._seen < self._first or (self._last and self._seen > self._last):
            return None
        own = random.Random(self._rng.getrandbits(64))  # noqa: S311 - as above
        return Chosen(rule.effect, own)
