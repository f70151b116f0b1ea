"""The operations of the SQS protocol over the state machine: every call passes `perform`."""

from typing import Final

import msgspec

from pipeline.local.queue import message_calls, move_calls, queue_calls
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.operation import Answer
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.requests import Request

OPERATIONS: Final = queue_calls.OPERATIONS | message_calls.OPERATIONS | move_calls.OPERATIONS
"""By the names that they have in SQS."""


def parse(operation: str, body: bytes) -> Request:
    """The typed request of an operation.

    Raises:
        SqsError: The operation is unknown, or the body is not of its form.
    """
    known = OPERATIONS.get(operation)
    if known is None:
        raise SqsError(
            "UnknownOperationException",
            f"The embedded queue does not have the operation {operation!r}. "
            f"It has {', '.join(OPERATIONS)}.",
        )
    try:
        return known.decoder.decode(body)
    except msgspec.ValidationError as error:
        # msgspec names the place and the type, never the value.
        raise SqsError("SerializationException", str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SqsError("SerializationException", "The body is not valid JSON.") from None


def perform(queues: Queues, operation: str, request: Request, host: str) -> Answer:
    """Carry out a request at once; a receive that finds nothing answers empty.

    Args:
        queues: The state to act on.
        operation: As given to `parse`.
        request: What `parse` made of it.
        host: Host and port by which the client reached the server, for queue URLs.

    Raises:
        SqsError: As SQS refuses it.
    """
    return OPERATIONS[operation].act(queues, request, host)
