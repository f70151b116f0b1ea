"""Messages that were delivered often and never settled: one of them may be what ended the runs.

A message that kills the process (memory, a crash in a library) takes its whole batch along, and
again with each redelivery, until SQS gives up on all of them. So they are settled apart from the
others, in portions that shrink with each delivery, down to one message.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import groupby
from typing import Final

from pipeline.contract import Feed
from pipeline.messages import Message

# Outages are noticed before anything is received, so that three deliveries in vain are rare; SQS
# gives up after twenty, which leaves enough to come down to one message.
_TRUSTED: Final = 3
_FIRST_PORTION: Final = 1_000
_SHRINKS: Final = 10  # with each delivery: 1000, 100, 10, and then one by one


def part(feed: Feed, messages: Sequence[Message]) -> tuple[list[Message], tuple[Message, ...]]:
    """The messages without the suspects, and the suspects in the order in which they are settled.

    What ends the run keeps those after it from their turn. So the order of the next delivery is
    this one turned round: then they are first, and after two rounds nobody else is left.
    """
    trusted = _trusted(feed)
    sound = [message for message in messages if message.receive_count <= trusted]
    suspects = [message for message in messages if message.receive_count > trusted]
    least = min(map(_deliveries, suspects), default=0)
    way = 1 if (least - trusted) % 2 else -1  # the least delivered first, and the next time last

    def turn(message: Message) -> tuple[int, int]:
        nth = _deliveries(message) - trusted
        # Drawn anew for every two rounds: where several end the run, others lie between them then.
        lot = blake2b(f"{nth // 2} {message.message_id}".encode(), digest_size=8).digest()
        return way * nth, int.from_bytes(lot) * (-1 if nth % 2 else 1)

    return sound, tuple(sorted(suspects, key=turn))


def portions(feed: Feed, suspects: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The suspects in the portions in which they are settled, in their order."""
    trusted = _trusted(feed)
    for deliveries, alike in groupby(suspects, key=_deliveries):
        group = list(alike)
        size = max(1, _FIRST_PORTION // _SHRINKS ** (deliveries - trusted - 1))
        for first in range(0, len(group), size):
            yield group[first : first + size]


def _trusted(feed: Feed) -> int:
    """How many deliveries in vain prove nothing: so many an enrichment that fails may take."""
    return _TRUSTED if feed.enrichment is None else max(_TRUSTED, feed.enrichment.deliveries)


def _deliveries(message: Message) -> int:
    return message.receive_count
