"""What chaos sends: logins full of canaries, some of them twice, a few of them hostile."""

import json
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from chaos.identity import Mark
from pipeline.consume.settlement import Identity
from pipeline.contract import Feed
from pipeline.messages import Event
from pipeline.produce.generate import Recipe
from pipeline.produce.spoil import spoil, spoilable
from pipeline.produce.traffic import endless
from pipeline.reasons import Reason
from pipeline_tests.canaries import Canaries

REPEATED: Final = 0.05
"""The share of messages that are an earlier one again; the queue doubles as many by itself."""

BROKEN: Final = 0.007
"""The share of events that break the contract."""

CONFLICTS: Final = 0.003
"""The share of events that come with another payload as well."""

PLACES: Final = 2
"""Canaries of one event: that of the event, and that of its conflict."""

_REPEATABLE: Final = 2_000
_RECORDS: Final = 1_000
_ADDRESSES: Final = 60_000  # that the canaries tell apart


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message to send.

    Attributes:
        number: Which event.
        place: Which canary stands for the user.
        event: What is sent.
        mark: What it is found by afterwards.
    """

    number: int
    place: int
    event: Event
    mark: Mark


class Traffic:
    """The messages of one sender, without end.

    Args:
        feed: Whose records.
        canaries: What stands in every personal field.
        identity: What computes the marks.
        first: The number of the first event; senders must not share any.
        prefix: What the way to the queue puts before an event id.
        sound: What breaks the contract elsewhere, and not on this way.
        rng: Decides what comes.
    """

    def __init__(
        self,
        feed: Feed,
        canaries: Canaries,
        identity: Identity,
        *,
        first: int,
        prefix: str,
        sound: frozenset[Reason] = frozenset(),
        rng: random.Random,
    ) -> None:
        self._feed, self._canaries, self._identity = feed, canaries, identity
        self._next, self._prefix, self._rng = first, prefix, rng
        self._records = endless(feed, Recipe(count=_RECORDS, random_seed=rng.getrandbits(32)))
        self._earlier: deque[Parcel] = deque(maxlen=_REPEATABLE)
        self._reasons = [reason for reason in spoilable(feed) if reason not in sound]
        self._conflict: Parcel | None = None

    def __iter__(self) -> Iterator[Parcel]:
        while True:
            yield self._parcel()

    def _parcel(self) -> Parcel:
        if self._conflict is not None:
            conflict, self._conflict = self._conflict, None
            return conflict
        if self._earlier and self._rng.random() < REPEATED:
            return self._rng.choice(self._earlier)
        number, self._next = self._next, self._next + 1
        record = self._record(PLACES * number)
        chance = self._rng.random()
        if chance < BROKEN:
            reason = self._rng.choice(self._reasons)
            parcel = self._pack(number, PLACES * number, spoil(self._feed, record, reason))
        else:
            parcel = self._pack(number, PLACES * number, json.dumps(record))
            if chance < BROKEN + CONFLICTS:
                place = PLACES * number + 1
                self._conflict = self._pack(number, place, json.dumps(self._record(place)))
        self._earlier.append(parcel)
        return parcel

    def _record(self, place: int) -> dict[str, object]:
        """A sound record of which every personal value is a canary."""
        record: dict[str, object] = json.loads(next(self._records).body)
        return record | {
            "user_id": self._canaries.user(place),
            "ip": self._canaries.address(place % _ADDRESSES),
            "device_id": self._canaries.device(place),
        }

    def _pack(self, number: int, place: int, body: str) -> Parcel:
        event = Event(f"chaos-{number}", body)
        mark = Mark.of(self._identity, f"{self._prefix}{event.event_id}", body)
        return Parcel(number, place, event, mark)
