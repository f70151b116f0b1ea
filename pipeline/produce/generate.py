"""Generates events from a contract: realistic ones, repeated ones, and broken ones."""

import json
import random
import string
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.contract import Feed, Field
from pipeline.errors import SeedError
from pipeline.masking.policies import Keep
from pipeline.messages import Event
from pipeline.produce.spoil import spoil, spoilable
from pipeline.reasons import Reason
from pipeline.types import (
    Boolean,
    Date,
    FieldType,
    Integer,
    IpAddress,
    JsonObject,
    Number,
    Text,
    Texts,
    Timestamp,
    Version,
)

_SOUND, _DUPLICATE = "sound", "duplicate"
_REPEATABLE = 1_000
_NULLS = 0.3  # of the values of a nullable field
_IPV6 = 0.1  # of the addresses
_YEAR = 365 * 86_400
_NEWEST = datetime(2026, 1, 1, tzinfo=UTC)  # fixed: a random seed gives the same moments any day
_ROUNDING = 1e-9  # what a sum of shares may be off by
_FAR = 1e6  # as far as a number goes from where its range ends, if that has one end only
_WORD = 12  # letters of a text that has no samples and no shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What to generate.

    Attributes:
        count: Messages in all, repeated and broken ones included.
        random_seed: The same seed gives the same values; event ids are new every time.
        duplicates: The share of messages that repeat an earlier one, event id and all.
        malformed: The share of messages that are to end in the quarantine for each reason.
        distinct: How many different values a masked field takes, as a share of `count`.
    """

    count: int
    random_seed: int | None = None
    duplicates: float = 0.0
    malformed: dict[Reason, float] = field(default_factory=dict)
    distinct: float = 1.0

    def check(self, feed: Feed) -> None:
        """Refuses what cannot be generated.

        Raises:
            SeedError: A share is not one, the shares exceed the whole, or the feed has no field
                that could be broken in that way.
        """
        shares = {"duplicates": self.duplicates, "distinct": self.distinct}
        shares |= {reason.value: share for reason, share in self.malformed.items()}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                _refuse(feed, f"{name} is a share between 0 and 1")
        if self.count < 1:
            _refuse(feed, "count is at least 1")
        if self.duplicates + sum(self.malformed.values()) > 1 + _ROUNDING:
            _refuse(feed, "the shares of duplicates and malformed messages exceed the whole")
        for reason in self.malformed:
            if reason not in spoilable(feed):
                _refuse(feed, f"no message of this feed can be made to end as {reason.value}")


def _refuse(feed: Feed, what: str) -> None:
    raise SeedError(what, remedy="Correct the setting; nothing was sent", feed=feed.name)


def evenly(feed: Feed, share: float) -> dict[Reason, float]:
    """The share of malformed messages, spread evenly over all kinds that the feed allows."""
    reasons = spoilable(feed)
    return {reason: share / len(reasons) for reason in reasons} if share else {}


def generate(feed: Feed, recipe: Recipe) -> Iterator[Event]:
    """The events, one by one.

    Raises:
        SeedError: The recipe cannot be followed.
    """
    recipe.check(feed)
    rng = random.Random(recipe.random_seed)  # noqa: S311 - sample data, not keys
    maker = _Maker(feed, recipe, rng)
    # Enough to repeat from, and bounded, however many events there are.
    earlier: deque[Event] = deque(maxlen=_REPEATABLE)
    for kind in _kinds(recipe, rng):
        if kind == _DUPLICATE and earlier:
            event = rng.choice(earlier)
        elif isinstance(kind, Reason):
            event = Event(str(uuid.uuid4()), spoil(feed, maker.record(), kind))
        else:
            event = Event(str(uuid.uuid4()), json.dumps(maker.record()))
            earlier.append(event)
        yield event


def _kinds(recipe: Recipe, rng: random.Random) -> list[Reason | str]:
    """What each message is to be: each share to within one message, in random order."""
    kinds: list[Reason | str] = []
    share = 0.0
    for kind, part in ((_DUPLICATE, recipe.duplicates), *recipe.malformed.items()):
        share += part
        kinds += [kind] * (min(round(share * recipe.count), recipe.count) - len(kinds))
    kinds += [_SOUND] * (recipe.count - len(kinds))
    rng.shuffle(kinds)
    if _SOUND in kinds:  # a message to repeat comes before its repetition
        first = kinds.index(_SOUND)
        kinds[0], kinds[first] = kinds[first], kinds[0]
    return kinds


class _Maker:
    def __init__(self, feed: Feed, recipe: Recipe, rng: random.Random) -> None:
        self._fields = [each for each in feed.fields if each.sent]
        self._rng = rng
        self._size = max(1, round(recipe.count * recipe.distinct))
        self._pools: dict[str, list[object]] = {each.path: [] for each in self._fields}

    def record(self) -> dict[str, object]:
        record: dict[str, object] = {}
        for each in self._fields:
            *parents, leaf = each.path.split(".")
            branch = record
            for parent in parents:
                child = branch.setdefault(parent, {})
                assert isinstance(child, dict)  # noqa: S101 - the contract has no such paths
                branch = child
            branch[leaf] = self._value(each)
        return record

    def _value(self, each: Field) -> object:
        if each.nullable and self._rng.random() < _NULLS:
            return None
        if isinstance(each.policy, Keep):
            return _sample(each.type, self._rng)
        pool = self._pools[each.path]
        if len(pool) < self._size:
            pool.append(_sample(each.type, self._rng))
            return pool[-1]
        return self._rng.choice(pool)


def _sample(kind: FieldType, rng: random.Random) -> object:  # noqa: C901, PLR0911 - one return a type
    """A realistic JSON value of a type."""
    match kind:
        case Text():
            return _text(kind, rng)
        case IpAddress():
            return _address(rng)
        case Version():
            return f"{rng.randrange(10)}.{rng.randrange(10**kind.digits)}.{rng.randrange(10)}"
        case Boolean():
            return rng.random() < 0.5  # noqa: PLR2004 - a fair coin
        case Integer():
            return rng.randint(kind.minimum, kind.maximum)
        case Number():
            return _number(kind, rng)
        case Timestamp():
            return _moment(rng).isoformat()
        case Date():
            return _moment(rng).date().isoformat()
        case Texts():
            return [_text(kind.each, rng) for _ in range(rng.randint(1, kind.max_items))]
        case JsonObject():
            return {"n": rng.randrange(100)} if kind.max_bytes >= len('{"n":99}') else {}
    raise SeedError(
        f"no sample values are known for the type {type(kind).__name__}",
        remedy="Seed from a file instead",
    )


def _text(kind: Text, rng: random.Random) -> str:
    if kind.allowed or kind.samples:
        return rng.choice(kind.allowed or kind.samples)
    if not kind.shape:
        return "".join(rng.choices(string.ascii_lowercase, k=min(_WORD, kind.max_length)))
    alphabets = {"9": string.digits, "x": "0123456789abcdef"}
    return "".join(rng.choice(alphabets.get(letter, letter)) for letter in kind.shape)


def _number(kind: Number, rng: random.Random) -> float:
    low, high = max(kind.minimum, -_FAR), min(kind.maximum, _FAR)
    if low > high:  # the whole range lies beyond
        low, high = max(kind.minimum, high - _FAR), min(kind.maximum, low + _FAR)
    return rng.uniform(low, high)


def _address(rng: random.Random) -> str:
    if rng.random() >= _IPV6:
        return ".".join(str(rng.randrange(256)) for _ in range(4))
    groups = [f"{rng.randrange(65_536):04x}" for _ in range(6)]
    return rng.choice((str.upper, str.lower))("2001:db8:" + ":".join(groups))


def _moment(rng: random.Random) -> datetime:
    return _NEWEST - timedelta(seconds=rng.randrange(_YEAR))
