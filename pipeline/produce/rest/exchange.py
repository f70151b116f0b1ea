"""One request and its answer, as the log line and the metrics tell about them."""

import json
import re
import sys
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pipeline.produce.rest.senders import LOCAL, Sender

CALLER_GONE: Final = "caller_gone"
"""The outcome of a request that was not answered: its caller hung up."""

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
    started: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since the headers had arrived."""
        return time.perf_counter() - self.started

    def error(self) -> str:
        """The id of what went wrong in this request; one for all its records."""
        self.error_id = self.error_id or str(uuid.uuid4())
        return self.error_id

    def line(self, method: str, route: str) -> str:
        """The log line, as JSON."""
        said = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "request_id": self.request_id,
            "method": method,
            "route": route,
            "sender": self.sender.name,
            "feed": self.feed,
            "count": self.records,
            "bytes": self.bytes,
            "status": self.status,
            "outcome": self.outcome,
            "error_id": self.error_id,
            "ms": round(self.seconds * 1000, 1),
        }
        return json.dumps({name: value for name, value in said.items() if value is not None})


def write_line(line: str) -> None:
    """Puts a line on standard output; a full disk is no reason to refuse messages."""
    with suppress(OSError, ValueError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
