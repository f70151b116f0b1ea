"""Many of a client's calls under way at once, kept so by one thread.

Each thread that makes calls one by one takes Python's lock anew for every answer; with dozens of
them that costs twice what the calls do.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic

import msgspec
import pycurl

from pipeline.messages import Ask, Outcome
from pipeline.threaded_calls import ThreadedCalls
from pipeline.transport.client import LeanClient, Operation
from pipeline.transport.wire import Answer, Failure


@dataclass(frozen=True, slots=True)
class Kind(Generic[Ask, Outcome]):
    """A kind of call.

    Attributes:
        operation: Which of SQS's.
        request: What is sent for what is asked.
        read: What an answer comes to.
        guard: Around whatever may raise: turns botocore's errors into others.
    """

    operation: Operation[Any]
    request: Callable[[Ask], Mapping[str, object]]
    read: Callable[[Ask, Any], Outcome]
    guard: Callable[[], AbstractContextManager[None]]


class Many(Generic[Ask, Outcome]):
    """Calls of one kind, as `pipeline.messages.Calls`.

    A call that does not go well at once is handed to a thread of its own, which goes on with it:
    its pauses keep no other call waiting.

    Args:
        client: Whose calls.
        kind: Which.
        at_once: How many of them may be tried again at the same time.
    """

    def __init__(
        self,
        client: LeanClient,
        kind: Kind[Ask, Outcome],
        at_once: int,
    ) -> None:
        self._client = client
        self._kind = kind
        self._multi = client.take_multi()
        self._asks: dict[pycurl.Curl, tuple[Ask, bytes]] = {}
        self._troubled = ThreadedCalls(self._go_on, at_once)

    @property
    def under_way(self) -> int:
        """As the port says."""
        return len(self._multi) + self._troubled.under_way

    def begin(self, ask: Ask) -> None:
        """As the port says."""
        with self._kind.guard():
            body = msgspec.json.encode(self._kind.request(ask))
            curl = self._multi.begin(self._client.headers(self._kind.operation, body), body)
        self._asks[curl] = ask, body

    def ended(self) -> list[tuple[Ask, Outcome | Exception]]:
        """As the port says."""
        outcomes: list[tuple[Ask, Outcome | Exception]] = []
        if len(self._multi):
            for (ask, body), ended in self._taken(self._multi.ended()):
                plain = self._client.plain(self._kind.operation, ended)
                if plain is None:
                    self._troubled.begin((ask, body, ended))
                else:
                    outcomes.append((ask, self._read(ask, plain)))
        if self._troubled.under_way:
            waits = not len(self._multi) and not outcomes
            told = self._troubled.ended() if waits else self._troubled.ended(seconds=0)
            outcomes += [(ask, outcome) for (ask, _, _), outcome in told]
        return outcomes

    def close(self) -> None:
        """As the port says."""
        while len(self._multi):
            self._multi.ended()
        self._troubled.close()
        self._client.give_back(self._multi)

    def _taken(
        self, ended: list[tuple[pycurl.Curl, Answer | Failure]]
    ) -> list[tuple[tuple[Ask, bytes], Answer | Failure]]:
        """What has ended, by what was asked."""
        return [(self._asks.pop(curl), outcome) for curl, outcome in ended if curl in self._asks]

    def _read(self, ask: Ask, plain: object) -> Outcome | Exception:
        try:
            return self._kind.read(ask, plain)
        except Exception as error:  # noqa: BLE001 - the others are to be told all the same
            return error

    def _go_on(self, trouble: tuple[Ask, bytes, Answer | Failure]) -> Outcome:
        ask, body, ended = trouble
        with self._kind.guard():
            return self._kind.read(ask, self._client.finish(self._kind.operation, body, ended))
