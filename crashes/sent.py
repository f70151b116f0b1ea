"""What a rehearsal sends, and what must have become of it in the end."""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from crashes.mark import Mark
from pipeline.consume.settlement import Identity
from pipeline.reasons import Reason

REFUSED: Final = "refused"
"""How a user id begins that the table's own constraint refuses."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to send.

    Attributes:
        event_id: Which event it tells of.
        user_id: The user id in its body; empty where the body is broken.
        body: The body.
    """

    event_id: str
    user_id: str
    body: str


def ten() -> list[Letter]:
    """Ten messages of eight events.

    One is broken, one is refused by the table, one event comes twice, one with two contents.
    """
    sound = [sound_letter() for _ in range(6)]
    broken, name = str(uuid.uuid4()), f"{REFUSED}-{uuid.uuid4()}"
    return [
        *sound,
        sound[0],
        login_letter(sound[1].event_id, sound[1].user_id, device="ios"),
        Letter(broken, "", f"broken {broken}"),
        login_letter(str(uuid.uuid4()), name),
    ]


def sound_letter() -> Letter:
    """A message that nothing is wrong with."""
    event = str(uuid.uuid4())
    return login_letter(event, event)


def login_letter(event_id: str, user_id: str, device: str = "android") -> Letter:
    """A login by a user, from a device of a type."""
    body = {
        "user_id": user_id,
        "app_version": "2.3.0",
        "device_type": device,
        "ip": "198.51.100.7",
        "locale": None,
        "device_id": "593-47-5928",
    }
    return Letter(event_id, user_id, json.dumps(body))


@dataclass(frozen=True, slots=True)
class Found:
    """What the warehouse holds.

    Attributes:
        ledger: Content by key.
        quarantine: Reason by key.
        rows: How often each user id stands in the table.
        accounts: Received, loaded, duplicate, quarantined and released of each batch.
    """

    ledger: dict[bytes, bytes]
    quarantine: dict[bytes, str]
    rows: Counter[str]
    accounts: list[tuple[int, int, int, int, int]]

    def has(self, mark: Mark) -> bool:
        """Whether a message is durable."""
        return self.ledger.get(mark.key) == mark.content or mark.quarantine in self.quarantine


class Sent:
    """Everything that one rehearsal has sent.

    Args:
        identity: What computes the marks.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._letters: list[tuple[Letter, Mark]] = []

    def add(self, letters: Iterable[Letter]) -> None:
        """Notes what has been sent."""
        self._letters += [(each, self.mark(each.event_id, each.body)) for each in letters]

    def mark(self, event_id: str, body: str) -> Mark:
        """What a message is known by."""
        return Mark.of(self._identity, event_id, body)

    def lacks(self, found: Found, waiting: AbstractSet[bytes]) -> Iterator[str]:
        """What is wrong at any moment: oracles L and D, and the accounts.

        Args:
            found: The warehouse.
            waiting: Of each message on the queue, its key in the quarantine.
        """
        lost = {
            mark.quarantine
            for _, mark in self._letters
            if not found.has(mark) and mark.quarantine not in waiting
        }
        if lost:
            yield f"{len(lost)} messages are lost"
        if doubled := sum(count > 1 for count in found.rows.values()):
            yield f"{doubled} events have more than one row"
        if found.rows.total() != len(found.ledger):
            yield f"{found.rows.total()} rows, {len(found.ledger)} entries of the ledger"
        if strangers := found.rows.keys() - {letter.user_id for letter, _ in self._letters}:
            yield f"{len(strangers)} rows that nobody sent"
        for received, *parts in found.accounts:
            if received != sum(parts):
                yield "an account does not add up"
        loaded = sum(account[1] for account in found.accounts)
        quarantined = sum(account[3] for account in found.accounts)
        if (loaded, quarantined) != (len(found.ledger), len(found.quarantine)):
            yield f"the accounts have {loaded} loaded and {quarantined} quarantined"

    def unsettled(self, found: Found) -> Iterator[str]:
        """What is wrong once everything is drained: each message is where it belongs."""
        expected: Counter[str] = Counter()
        loaded: set[bytes] = set()
        contents = {mark.quarantine: (letter, mark) for letter, mark in self._letters}
        for letter, mark in contents.values():
            if not letter.user_id:
                expected[Reason.NOT_JSON] += 1
            elif letter.user_id.startswith(REFUSED):
                expected[Reason.REFUSED_BY_DATABASE] += 1
            elif mark.key in loaded:
                expected[Reason.CONFLICT] += 1
            else:
                loaded.add(mark.key)
        if set(found.ledger) != loaded:
            yield f"{len(found.ledger)} events loaded in place of {len(loaded)}"
        if (reasons := Counter(found.quarantine.values())) != expected:
            yield f"quarantined {dict(reasons)} in place of {dict(expected)}"
