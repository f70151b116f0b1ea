"""The witness: asks, on each delete, whether the message is already durable elsewhere."""

import threading
from collections.abc import Callable
from typing import NamedTuple, Protocol

from pipeline.local.queue.messages import Message


class Violation(NamedTuple):
    """A message that was deleted, and was not durable at that moment."""

    queue: str
    message_id: str


class Witness(Protocol):
    """Sees each delete that would remove a message, before it is done.

    Attributes:
        seen: How many it saw.
        violations: What should not have been deleted yet.
    """

    seen: int
    violations: list[Violation]

    def sees_delete(self, queue: str, message: Message) -> None:
        """Look at a message that is about to be deleted; called off the event loop.

        Raises:
            SqsError: It cannot tell, and the delete is refused with this.
        """


class AskingWitness:
    """A witness that asks one question of each message, one at a time.

    Args:
        is_durable: Given the queue's name and the message; whether it may be deleted. Raises
            `SqsError` if it cannot tell.
    """

    def __init__(self, is_durable: Callable[[str, Message], bool]) -> None:
        self.seen = 0
        self.violations: list[Violation] = []
        self._is_durable = is_durable
        self._lock = threading.Lock()

    def sees_delete(self, queue: str, message: Message) -> None:
        """Ask, and keep the answer if it is no.

        Raises:
            SqsError: The question has no answer.
        """
        with self._lock:
            durable = self._is_durable(queue, message)
            self.seen += 1
            if not durable:
                self.violations.append(Violation(queue, message.id))
