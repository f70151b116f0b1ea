"""One account's SQS as a conformance case sees it: names of its own, and time that passes."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from mypy_boto3_sqs import SQSClient
from mypy_boto3_sqs.type_defs import MessageTypeDef

_SLACK = 4
"""Seconds that a message may be late where the clock is not ours."""


class Account:
    """A client, and what differs between the accounts that it may lead to.

    Args:
        sqs: The client.
        prefix: What every queue's name begins with; never the same for two cases of one account.
        move_clock: Lets so many seconds pass at once, where the clock is ours.
        sleep: Lets them pass where it is not; may do nothing where no case counts on it.
        patience: Seconds for which a receive waits even for what should be there: AWS spreads a
            queue over hosts, and a short poll asks only some.
        settling: Seconds until a new queue may be used.
    """

    def __init__(
        self,
        sqs: SQSClient,
        *,
        prefix: str = "",
        move_clock: Callable[[float], None] | None = None,
        sleep: Callable[[float], None] = lambda _: None,
        patience: int = 0,
        settling: float = 0.0,
    ) -> None:
        self.sqs = sqs
        self._prefix = prefix
        self._move_clock = move_clock
        self._sleep = sleep
        self._patience = patience
        self._settling = settling
        self._names: set[str] = set()

    def name(self, short: str) -> str:
        """The whole name of a queue, which `remove` then knows of."""
        self._names.add(self._prefix + short)
        return self._prefix + short

    def short(self, address: str) -> str:
        """The short name in a queue's URL or resource name."""
        return address.rpartition("/")[2].rpartition(":")[2].removeprefix(self._prefix)

    def create(self, short: str = "q", /, **attributes: str) -> str:
        """Make a queue; its URL."""
        chosen: dict[Any, str] = dict(attributes)
        made = self.sqs.create_queue(QueueName=self.name(short), Attributes=chosen)
        self._sleep(self._settling)
        return made["QueueUrl"]

    def attributes(self, url: str, *names: str) -> dict[str, str]:
        """The attributes of a queue that are asked for."""
        asked: list[Any] = list(names)
        shown: dict[Any, str] = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=asked)[
            "Attributes"
        ]
        return shown

    def arn(self, url: str) -> str:
        """The resource name of a queue."""
        return self.attributes(url, "QueueArn")["QueueArn"]

    def depths(self, url: str) -> list[int]:
        """Ready, in flight and delayed."""
        shown = self.attributes(url, "All")
        return [
            int(shown["ApproximateNumberOfMessages"]),
            int(shown["ApproximateNumberOfMessagesNotVisible"]),
            int(shown["ApproximateNumberOfMessagesDelayed"]),
        ]

    def send(self, url: str, *bodies: str) -> None:
        """Put messages on a queue, one call each."""
        for body in bodies:
            self.sqs.send_message(QueueUrl=url, MessageBody=body)

    def receive(
        self,
        url: str,
        *,
        after: int = 0,
        **options: Any,  # noqa: ANN401 - the stubs type each option apart
    ) -> list[MessageTypeDef]:
        """Up to ten messages, the first of them visible in `after` seconds at the latest."""
        wait = self._patience
        if after and self._move_clock:
            self._move_clock(after)
        elif after:
            wait = min(20, after + _SLACK + self._patience)
        return self._receive(url, wait, options)

    def take(self, url: str, count: int) -> list[MessageTypeDef]:
        """So many messages, in as many receives as it takes; fewer where one comes back empty."""
        taken: list[MessageTypeDef] = []
        while len(taken) < count and (more := self.receive(url)):
            taken += more
        return taken

    def receipts(self, url: str, **options: Any) -> list[str]:  # noqa: ANN401 - as above
        """The receipts of what is received now."""
        return [message["ReceiptHandle"] for message in self.receive(url, **options)]

    def silent(self, url: str, *, seconds: int = 0) -> bool:
        """Whether nothing can be received for so many seconds."""
        if self._move_clock:
            self._move_clock(seconds)
            return not self._receive(url, 0, {})
        return not self._receive(url, max(seconds, self._patience), {})

    def let_pass(self, seconds: float) -> None:
        """Let so many seconds go by."""
        (self._move_clock or self._sleep)(seconds)

    def remove(self) -> list[str]:
        """Delete every queue that may have been made; the names of those that are left."""
        return [name for name in sorted(self._names) if not self._removed(name)]

    def _receive(self, url: str, wait: int, options: dict[str, Any]) -> list[MessageTypeDef]:
        answer = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait, **options
        )
        return answer.get("Messages", [])

    def _removed(self, name: str) -> bool:
        try:
            url = self.sqs.get_queue_url(QueueName=name)["QueueUrl"]
            self.sqs.delete_queue(QueueUrl=url)
        except ClientError as error:
            return error.response["Error"]["Code"].endswith(("NonExistentQueue", "DoesNotExist"))
        except BotoCoreError:
            return False
        return True
