"""What an operation of the protocol is: the form of its request, and what it does with one."""

from collections.abc import Callable
from typing import Any

import msgspec

from pipeline.local.queue.queues import Queues
from pipeline.local.queue.requests import Request

Answer = dict[str, object]
"""A reply's body, under SQS's own names."""


class Operation:
    """One operation.

    Args:
        form: Of its request.
        act: Takes the queues, the request, and the host by which the client came, for URLs.
    """

    def __init__(self, form: type[Request], act: Callable[[Queues, Any, str], Answer]) -> None:
        self.decoder = msgspec.json.Decoder(form)
        self.act = act
