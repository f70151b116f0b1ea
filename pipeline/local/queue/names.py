"""What queues are called: names, Amazon resource names and URLs."""

import re
from typing import Final

from pipeline.local.queue.errors import SqsError, invalid_parameter, queue_does_not_exist

ACCOUNT: Final = "000000000000"
"""The one account of the embedded queue."""

_ARN_PREFIX: Final = f"arn:aws:sqs:us-east-1:{ACCOUNT}:"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


def check(name: str) -> None:
    """Refuse what cannot be a standard queue's name.

    Raises:
        SqsError: InvalidParameterValue; UnsupportedOperation for a FIFO queue's name.
    """
    if name.endswith(".fifo"):
        raise SqsError(
            "UnsupportedOperation", "The embedded queue has standard queues only, no FIFO."
        )
    if not _NAME.fullmatch(name):
        raise invalid_parameter(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length."
        )


def arn_of(name: str) -> str:
    """The resource name of a queue."""
    return _ARN_PREFIX + name


def name_in(arn: str) -> str:
    """The queue that a resource name means; an empty name, which no queue has, if none."""
    return arn.removeprefix(_ARN_PREFIX) if arn.startswith(_ARN_PREFIX) else ""


def url_of(name: str, host: str) -> str:
    """The URL of a queue, for a client that reached the server as `host`."""
    return f"http://{host}/{ACCOUNT}/{name}"


def name_of(url: str) -> str:
    """The queue that a URL means, whatever its host.

    Raises:
        SqsError: QueueDoesNotExist, if the URL is no queue's of this account.
    """
    _, _, name = url.rpartition(f"/{ACCOUNT}/")
    if name in {"", url}:
        raise queue_does_not_exist()
    return name
