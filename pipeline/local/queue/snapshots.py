"""The form in which the embedded queue outlives its process: MessagePack with a version."""

from typing import Final

import msgspec

from pipeline.errors import LocalServiceError
from pipeline.local.queue.moves import MoveTask
from pipeline.local.queue.state import QueueState

_VERSION: Final = 1


class Snapshot(msgspec.Struct):
    """Everything that is kept.

    Attributes:
        queues: All queues with their messages, in flight or not.
        deleted: When the names of deleted queues were given up, in seconds since the epoch.
        moves: The message moves, under way or over.
    """

    queues: list[QueueState]
    deleted: dict[str, float]
    moves: list[MoveTask] = msgspec.field(default_factory=list)
    version: int = _VERSION


class _Version(msgspec.Struct):
    version: int


def encode(snapshot: Snapshot) -> bytes:
    """The bytes to keep."""
    return msgspec.msgpack.encode(snapshot)


def decode(data: bytes) -> Snapshot:
    """What `encode` was given.

    Raises:
        LocalServiceError: The bytes are damaged or of another version.
    """
    try:
        if msgspec.msgpack.decode(data, type=_Version).version == _VERSION:
            return msgspec.msgpack.decode(data, type=Snapshot)
    except msgspec.DecodeError:
        what = "The embedded queue's snapshot is damaged"
    else:
        what = "The embedded queue's snapshot is of another version"
    raise LocalServiceError(what, remedy="Remove the snapshot to start with empty queues") from None
