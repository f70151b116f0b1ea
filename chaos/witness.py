"""Oracle C: at each delete, on a connection of its own, whether the message is durable already."""

from collections.abc import Callable, Mapping
from typing import Final

import psycopg

from chaos.feed import DEAD_LETTERS
from chaos.identity import Mark
from pipeline.consume.settlement import Identity
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.messages import Message
from pipeline.resources.sqs import EVENT_ID

_DURABLE: Final = """
SELECT EXISTS (
    SELECT FROM pipeline.ledger WHERE feed = %(feed)s AND key = %(key)s AND content = %(content)s
) OR EXISTS (
    SELECT FROM pipeline.quarantine WHERE feed = %(feed)s AND key = %(quarantine)s
)
"""


class Durability:
    """Asks Postgres itself, past the proxy and whatever the run was told; one call at a time.

    Args:
        feed: The feed's name.
        identity: What computes the marks of its messages.
        url: Tells where Postgres is now.
    """

    def __init__(self, feed: str, identity: Identity, url: Callable[[], str]) -> None:
        self._feed, self._identity, self._url = feed, identity, url
        self._connection: psycopg.Connection | None = None

    def __call__(self, _queue: str, message: Message) -> bool:
        """Whether ledger or quarantine hold the message, committed.

        Raises:
            SqsError: Postgres does not answer; then the message stays on the queue.
        """
        mark = Mark.of(
            self._identity, message.attributes[EVENT_ID].string_value or "", message.body
        )
        named = {
            "feed": self._feed,
            "key": mark.key,
            "content": mark.content,
            "quarantine": mark.quarantine,
        }
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url(), autocommit=True, connect_timeout=5)
            row = self._connection.execute(_DURABLE, named).fetchone()
        except psycopg.OperationalError:
            self.close()
            raise SqsError("ServiceUnavailable", "The witness cannot see.", status=503) from None
        return row is not None and row[0] is True

    def close(self) -> None:
        """Lets go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Bystanders:
    """Asks, at each delete, the one who knows the feed of the queue.

    Args:
        of: Who that is, by the queue's name.
    """

    def __init__(self, of: Mapping[str, Durability]) -> None:
        self._of = of

    def __call__(self, queue: str, message: Message) -> bool:
        """As `Durability`; a dead letter may go once it is on the feed's queue again.

        Whether it was is for the oracle of loss: nothing here sees both queues at once.
        """
        if queue.endswith(DEAD_LETTERS):
            return True
        return self._of[queue](queue, message)
