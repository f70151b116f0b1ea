"""The queues of all feeds, as SQS tells of them: two calls for each feed, and none receives."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from pipeline.contract import Feed
from pipeline.errors import PipelineError, QueueError, values_kept_out
from pipeline.operate.metrics.reading import QueueReading, QueuesReading
from pipeline.resources.outside import LOOK_SECONDS
from pipeline.resources.queue_facts import clock_ahead
from pipeline.resources.sqs import SqsQueue
from pipeline.resources.sqs_client import Endpoint, make_client, translated

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_AT_ONCE: Final = 8  # feeds
_KEPT_SECONDS: Final = 600.0  # a client: credentials may be renewed in their file, or a role


class Queues:
    """Looks at the feeds' queues, each time with one client.

    Args:
        endpoint: Where SQS is.
        feeds: Whose queues.
    """

    def __init__(self, endpoint: Endpoint, feeds: Sequence[Feed]) -> None:
        self._endpoint = endpoint
        self._feeds = feeds
        self._lock = threading.Lock()
        self._client: SQSClient | None = None
        self._made_at = 0.0
        self._urls: dict[str, str] = {}

    def read(self) -> QueuesReading:
        """What they tell; a feed whose queue does not is named with the code of its error.

        Raises:
            PipelineError: None of them did.
        """
        client = self._connected()
        with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(self._feeds)))) as pool:
            found = list(pool.map(lambda feed: self._one(client, feed), self._feeds))
        pairs = list(zip((feed.name for feed in self._feeds), found, strict=True))
        errors = {name: each for name, each in pairs if isinstance(each, PipelineError)}
        if errors:
            self._forget()
            if len(errors) == len(self._feeds):
                raise next(iter(errors.values()))
        return QueuesReading(
            {name: each for name, each in pairs if isinstance(each, QueueReading)},
            {name: each.code for name, each in errors.items()},
        )

    def _connected(self) -> "SQSClient":
        with self._lock:
            now = time.monotonic()
            if self._client is None or now - self._made_at > _KEPT_SECONDS:
                # One attempt: whoever scrapes comes again, and does not wait for long.
                self._client = make_client(
                    self._endpoint, read_seconds=LOOK_SECONDS, connections=_AT_ONCE, attempts=1
                )
                self._made_at = now
                self._urls = {}
            return self._client

    def _forget(self) -> None:
        with self._lock:
            self._client = None

    def _one(self, client: "SQSClient", feed: Feed) -> QueueReading | PipelineError:
        try:
            with values_kept_out(feed=feed.name, stage="metrics"):
                return self._look(client, feed)
        except PipelineError as error:
            return error

    def _look(self, client: "SQSClient", feed: Feed) -> QueueReading:
        if feed.queue not in self._urls:
            self._urls[feed.queue] = SqsQueue(client, feed, embedded=self._endpoint.embedded).url
        said, ahead = _attributes(client, feed, self._urls[feed.queue])
        policy: Mapping[str, Any] = json.loads(said.get("RedrivePolicy") or "{}")
        return QueueReading(
            depth=int(said["ApproximateNumberOfMessages"]),
            in_flight=int(said["ApproximateNumberOfMessagesNotVisible"]),
            delayed=int(said["ApproximateNumberOfMessagesDelayed"]),
            dead_letters=self._dead_letters(client, feed, policy),
            retention=int(said["MessageRetentionPeriod"]),
            most_deliveries=int(policy.get("maxReceiveCount", 0)),
            clock_ahead=ahead,
        )

    def _dead_letters(
        self, client: "SQSClient", feed: Feed, policy: Mapping[str, Any]
    ) -> int | None:
        if not policy:
            return None
        name = str(policy["deadLetterTargetArn"]).rpartition(":")[2]
        with translated(feed=feed, queue=name):
            if name not in self._urls:
                self._urls[name] = client.get_queue_url(QueueName=name)["QueueUrl"]
        said, _ = _attributes(client, feed, self._urls[name])
        return int(said["ApproximateNumberOfMessages"])


def _attributes(
    client: "SQSClient", feed: Feed, url: str
) -> tuple[Mapping[str, str], float | None]:
    """All attributes of a queue, and how far SQS's clock is ahead of ours."""
    with translated(feed=feed):
        asked = time.time()
        answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    said: Mapping[str, str] = answer.get("Attributes", {})  # type: ignore[assignment] # names are strings
    if "ApproximateNumberOfMessages" not in said:
        raise QueueError(
            "what answers at the endpoint of SQS is not SQS: it told no depth",
            remedy="Look for a proxy or a log-in page in between, and at AWS_ENDPOINT_URL_SQS",
            feed=feed.name,
        )
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return said, clock_ahead(headers.get("date"), (asked + time.time()) / 2)
