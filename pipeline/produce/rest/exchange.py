"""One request and its answer, as the log line and the metrics tell about them."""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline import log_lines
from pipeline.contract import Feed
from pipeline.produce.rest.senders import LOCAL, Sender

if TYPE_CHECKING:
    from pipeline.tracing.requests import RequestTrace

CALLER_GONE: Final = "caller_gone"
"""The outcome of a request that was not answered: its caller hung up."""

_LOGGER: Final = "pipeline.produce.rest"
_AT_ONCE: Final = 50  # messages of one line: with more, collectors would cut it

# No dot and no @: neither an address nor an e-mail can be written with what is left.
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9_-]{8,64}")


def request_id(given: bytes | None) -> str:
    """The caller's own id of the request where it is a sane one, else a new one."""
    if given is not None and _SANE_ID.fullmatch(given):
        return given.decode()
    return uuid.uuid4().hex


@dataclass(slots=True)
class Exchange:
    """What is noted of a request on its way through; nothing of what it says.

    Attributes:
        request_id: In the answer and in the log line.
        sender: Who sends.
        feed: To which feed, once that is known to be one.
        records: How many records the body holds.
        bytes: How many bytes of the body were read.
        body_read: Whether the body was read to its end.
        status: The answer's status; 499 where the caller was gone before.
        outcome: What came of it: `ok`, or the reason why not.
        error_id: Where the answer is a problem, its id.
        message_ids: What SQS has called the messages that it took.
        event_ids: Of the same messages, where this service has drawn the ids by lot; one that a
            caller has chosen, or that follows from what it sent, is not for a log.
        draws: Whether it does.
        trace: The request's, where traces are asked for.
    """

    request_id: str
    sender: Sender = LOCAL
    feed: str | None = None
    records: int = 0
    bytes: int = 0
    body_read: bool = False
    status: int = 499
    outcome: str = CALLER_GONE
    error_id: str | None = None
    message_ids: list[str] = field(default_factory=list)
    event_ids: list[str] = field(default_factory=list)
    draws: bool = False
    trace: "RequestTrace | None" = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the headers had arrived."""
        return time.perf_counter() - self.started

    def error(self) -> str:
        """The id of what went wrong in this request; one for all its records."""
        self.error_id = self.error_id or str(uuid.uuid4())
        return self.error_id

    @property
    def ids(self) -> dict[str, str | None]:
        """What its lines of the log are known by."""
        trace_id = None if self.trace is None else self.trace.trace_id
        return {"request_id": self.request_id, "trace_id": trace_id}

    def begin_sending(self, feed: Feed) -> str | None:
        """The context that its messages are to carry; None where traces are not asked for."""
        return None if self.trace is None else self.trace.send(feed)

    def sent(self, taken: Mapping[str, str]) -> None:
        """Notes what SQS has taken: the id of each message, and of its event."""
        self.message_ids += taken
        self.event_ids += taken.values() if self.draws else ()

    def tell(self, method: str, route: str) -> None:
        """Writes its line, before it one for each portion of messages more; ends its trace."""
        for first in range(_AT_ONCE, len(self.message_ids), _AT_ONCE):
            log_lines.write(self._line("messages more of a request", **self._messages(first)))
        log_lines.write(
            self._line(
                f"{method} {route} {self.status}",
                method=method,
                route=route,
                sender=self.sender.name,
                count=self.records,
                bytes=self.bytes,
                status=self.status,
                outcome=self.outcome,
                error_id=self.error_id,
                ms=round(self.seconds * 1000, 1),
                **self._messages(0),
            )
        )
        if self.trace is not None:
            told = {"outcome": self.outcome, "feed": self.feed, "request_id": self.request_id}
            self.trace.end(method, route, self.status, message_ids=self.message_ids, **told)

    def _messages(self, first: int) -> dict[str, list[str] | None]:
        part = slice(first, first + _AT_ONCE)
        ids = {"message_ids": self.message_ids[part], "event_ids": self.event_ids[part]}
        return {name: some or None for name, some in ids.items()}

    def _line(self, text: str, **told: object) -> str:
        told = {"feed": self.feed, **self.ids, **told}
        return log_lines.line(text, logger=_LOGGER, told=told)
