"""Receive and delete by tens, and nothing else: the most that a client can do.

The calls ask for as little as SQS allows: no attribute of a message, without which no run could
settle anything.
"""

from typing import TYPE_CHECKING

from benchmarks.threads import in_threads

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from pipeline.transport.client import LeanClient


def receive_and_delete(
    client: "SQSClient | LeanClient", url: str, *, messages: int, threads: int
) -> None:
    """Takes so many messages off a queue.

    Args:
        client: Makes the calls.
        url: The queue's.
        messages: How many; fewer on the queue, and it asks for ever.
        threads: That call.
    """

    def step(count: int) -> int:
        answer = client.receive_message(QueueUrl=url, MaxNumberOfMessages=count, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        if messages:
            client.delete_message_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(place), "ReceiptHandle": each["ReceiptHandle"]}
                    for place, each in enumerate(messages)
                ],
            )
        return len(messages)

    in_threads(step, messages=messages, threads=threads)
