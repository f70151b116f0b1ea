"""What was answered to an Idempotency-Key, so that a retry gets the same answer and sends nothing.

Source: https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from pipeline.errors import Overloaded

KEPT_SECONDS: Final = 24 * 60 * 60
"""How long an answer is kept, counted from the beginning of its request."""

STALE_SECONDS: Final = 60
"""After this a request without an answer counts as dead, and a retry takes its place."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One request with an Idempotency-Key; holds neither the key nor the payload.

    Attributes:
        sender: The sender's name; each has keys of its own.
        key_digest: Stands for the feed and the key.
        fingerprint: Stands for the payload; keyed with the key, so that nobody who does not
            have the key can find the payload by trying.
        seal: 32 bytes with which the answer is sealed where it lies; nothing stores them.
        attempt: This request's own, whatever its key.
    """

    sender: str
    key_digest: bytes = field(repr=False)
    fingerprint: bytes = field(repr=False)
    seal: bytes = field(repr=False)
    attempt: bytes = field(repr=False)

    @classmethod
    def of(cls, sender: str, feed: str, key: str, body: bytes) -> "Claim":
        """The claim of a request.

        Args:
            sender: The sender's name.
            feed: The feed's name.
            key: The Idempotency-Key, without its quotes.
            body: What must be the same in a retry.
        """
        return cls(
            sender,
            key_digest=_keyed(key, "key", sender, feed),
            fingerprint=_keyed(key, "payload", sender, feed, body),
            seal=_keyed(key, "seal", sender, feed),
            attempt=secrets.token_bytes(16),
        )

    @property
    def place(self) -> tuple[str, bytes]:
        """Where a store keeps it."""
        return self.sender, self.key_digest

    @property
    def event_id(self) -> str:
        """32 hexadecimal digits: the same for the same sender, feed, key and payload only.

        The payload counts, because a key may come back with another one after its answer is
        forgotten or given up: that is another event, and not a duplicate of the first.
        """
        return hmac.digest(self.fingerprint, b"event", "sha256").hex()[:32]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it was sent.

    Attributes:
        status: The HTTP status.
        body: Its bytes.
    """

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class New:
    """Nobody has asked yet: do it, then `finish` or `give_up`."""


@dataclass(frozen=True, slots=True)
class Replay:
    """It was answered: answer the same."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class InProgress:
    """It is being done: 409."""


@dataclass(frozen=True, slots=True)
class Different:
    """The key belongs to another payload: 422."""


Begun = New | Replay | InProgress | Different
"""What `Store.begin` finds."""


class Store(Protocol):
    """Where answers are kept. The one in Postgres raises a `WarehouseError` where that refuses."""

    async def check(self) -> None:
        """Makes sure that it is there and may be used."""

    async def begin(self, claim: Claim) -> Begun:
        """Claims the key for a request; of several at once, one is `New`.

        Raises:
            Overloaded: No more requests can be remembered now; this one has claimed nothing.
        """

    async def finish(self, claim: Claim, answer: Answer) -> None:
        """Keeps the answer to a request that was `New`, unless another has taken its place."""

    async def give_up(self, claim: Claim) -> None:
        """Frees the key of a request that was `New`: a retry is `New` again."""

    def close(self) -> None:
        """Lets go of what it holds; nothing is asked of it afterwards."""


@dataclass(frozen=True, slots=True)
class _Entry:
    claim: Claim
    started_at: float
    answer: Answer | None = None


class MemoryStore:
    """Answers in memory: of this process only, and gone with it.

    At its bounds dead requests and then the oldest answers are forgotten before their time.

    Args:
        max_entries: Requests, answered or not.
        max_bytes: The bodies of all answers together.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        max_entries: int = 50_000,
        max_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries, self._max_bytes, self._clock = max_entries, max_bytes, clock
        # The oldest is first; a plain dictionary would look for it past all that were taken out.
        self._begun: OrderedDict[tuple[str, bytes], _Entry] = OrderedDict()
        self._answered: OrderedDict[tuple[str, bytes], _Entry] = OrderedDict()
        self._bytes = 0

    async def check(self) -> None:
        """As `Store`; memory is always there."""

    async def begin(self, claim: Claim) -> Begun:
        """As `Store`."""
        now = self._clock()
        found = self._begun.get(claim.place) or self._answered.get(claim.place)
        if found is not None and now - found.started_at <= KEPT_SECONDS:
            if found.claim.fingerprint != claim.fingerprint:
                return Different()
            if found.answer is not None:
                return Replay(found.answer)
            if now - found.started_at <= STALE_SECONDS:
                return InProgress()
        self._forget(claim.place)
        self._make_room(now)
        self._begun[claim.place] = _Entry(claim, now)
        return New()

    async def finish(self, claim: Claim, answer: Answer) -> None:
        """As `Store`."""
        entry = self._begun.get(claim.place)
        if entry is not None and entry.claim.attempt == claim.attempt:
            self._forget(claim.place)
            self._answered[claim.place] = _Entry(claim, entry.started_at, answer)
            self._bytes += len(answer.body)
            while self._bytes > self._max_bytes:
                self._forget(next(iter(self._answered)))

    async def give_up(self, claim: Claim) -> None:
        """As `Store`."""
        entry = self._begun.get(claim.place)
        if entry is not None and entry.claim.attempt == claim.attempt:
            self._forget(claim.place)

    def close(self) -> None:
        """As `Store`; there is nothing but memory."""

    def _make_room(self, now: float) -> None:
        """Forgets what is too old, and at the bound whatever is missed least."""
        for entries in (self._answered, self._begun):
            while entries and now - _oldest(entries).started_at > KEPT_SECONDS:
                self._forget(_oldest(entries).claim.place)
        if len(self._begun) + len(self._answered) < self._max_entries:
            return
        if self._begun and now - _oldest(self._begun).started_at > STALE_SECONDS:
            self._forget(_oldest(self._begun).claim.place)
        elif self._answered:
            self._forget(_oldest(self._answered).claim.place)
        else:
            raise Overloaded(
                "as many requests with an Idempotency-Key are in progress as can be remembered",
                remedy="Send it again in a moment",
            )

    def _forget(self, place: tuple[str, bytes]) -> None:
        self._begun.pop(place, None)
        answered = self._answered.pop(place, None)
        if answered is not None and answered.answer is not None:
            self._bytes -= len(answered.answer.body)


def _oldest(entries: OrderedDict[tuple[str, bytes], _Entry]) -> _Entry:
    return next(iter(entries.values()))


def _keyed(key: str, purpose: str, *parts: str | bytes) -> bytes:
    """An HMAC-SHA256 under the Idempotency-Key; no two lists of parts are the same input."""
    digest = hmac.new(key.encode(), digestmod=hashlib.sha256)
    for part in (purpose, *parts):
        content = part.encode() if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.digest()
