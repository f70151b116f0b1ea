"""How a conformance case is written: a dialogue with SQS, its outcome, and moto's if it differs."""

from collections.abc import Callable
from typing import Any, NamedTuple

from botocore.exceptions import ClientError
from mypy_boto3_sqs import SQSClient

Dialogue = Callable[[SQSClient], object]


class Case(NamedTuple):
    """A dialogue, what SQS makes of it, and what moto makes of it."""

    dialogue: Dialogue
    sqs: object
    moto: object


class Cases(dict[str, Case]):
    """Cases by the names of their dialogues."""

    def add(self, *, sqs: object, moto: object = None) -> Callable[[Dialogue], Dialogue]:
        """Add a dialogue; `moto` is its known deviation, checked like the rest, if it has one."""

        def register(dialogue: Dialogue) -> Dialogue:
            assert moto != sqs, "a deviation must differ"
            self[dialogue.__name__] = Case(dialogue, sqs, sqs if moto is None else moto)
            return dialogue

        return register


def code_of(act: Callable[[], object]) -> str:
    """The error code of a call, as boto3 shows it, or that there was none."""
    try:
        act()
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "accepted"


def new_queue(sqs: SQSClient, name: str = "q", **attributes: str) -> str:
    chosen: dict[Any, str] = dict(attributes)
    return sqs.create_queue(QueueName=name, Attributes=chosen)["QueueUrl"]


def arn_of(sqs: SQSClient, url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def depths(sqs: SQSClient, url: str) -> list[int]:
    """Ready, in flight and delayed."""
    shown = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return [
        int(shown["ApproximateNumberOfMessages"]),
        int(shown["ApproximateNumberOfMessagesNotVisible"]),
        int(shown["ApproximateNumberOfMessagesDelayed"]),
    ]


def receipts(sqs: SQSClient, url: str, **options: Any) -> list[str]:  # noqa: ANN401 - the stubs type each option apart
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **options)
    return [message["ReceiptHandle"] for message in answer.get("Messages", [])]
