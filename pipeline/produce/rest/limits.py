"""What the service takes at most, and how long it waits: each bound in one place."""

from dataclasses import dataclass
from typing import Final

from pipeline.produce.dispatch import BYTES, ENTRIES

MOST_RECORDS: Final = 1_000
"""Records of one batch."""

ONE_BYTES: Final = BYTES
"""Bytes of a request with one record: more would not fit into a message of SQS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The service's bounds; seconds, bytes and counts.

    Attributes:
        linger_seconds: How long a message waits for company while no call is under way.
        per_call: Messages of one call of SQS.
        calls: Calls of SQS that are under way at the same time.
        pending_messages: Messages that are not yet answered for.
        pending_bytes: Bytes of the bodies that are being read or not yet answered for. Memory
            takes a few times as much, at most.
        batch_bytes: Bytes of a request with a batch.
        patience_seconds: How long a message waits for its call of SQS to begin.
        head_seconds: How long a request line and its headers may take.
        body_seconds: How long a body may take.
        answer_seconds: How long what is answered may wait for a caller that does not read it.
        drain_seconds: How long the rest of a request is still heard that is answered already.
        idle_seconds: How long a connection may rest between requests. Longer than the gateway's,
            or a request of the gateway finds its connection just closed.
        connections: Connections that are served at the same time.
        stop_seconds: How long requests that have begun may go on once the service is to stop.
    """

    linger_seconds: float = 0.005
    per_call: int = ENTRIES
    calls: int = 8
    pending_messages: int = 4_000
    pending_bytes: int = 64 * 2**20
    batch_bytes: int = 10 * 2**20
    patience_seconds: float = 10.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    answer_seconds: float = 30.0
    drain_seconds: float = 5.0
    idle_seconds: int = 75
    connections: int = 400
    stop_seconds: int = 30
