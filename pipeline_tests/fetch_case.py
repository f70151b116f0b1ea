"""What the tests of fetching share: an API, a source with tiny pauses, and a world to send to."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from typing import Any, Final

import httpx
from mypy_boto3_sqs import SQSClient

from pipeline.feeds import pokemon
from pipeline.produce.fetch import ledger
from pipeline.produce.fetch.fetched import Fetched
from pipeline.produce.fetch.fetching import fetch, retry_failed
from pipeline.produce.fetch.ledger import Counts, Failure
from pipeline.produce.fetch.planning import PageRange, count, ranges
from pipeline.produce.fetch.reach import Reach
from pipeline.resources.outside import Outside
from pipeline.source import Bounds, Source
from pipeline.sources import pokeapi
from pipeline_tests.outside_world import ask
from pipeline_tests.upstream import LIST, Server, Upstream

FEED: Final = pokemon.FEED

LOOPBACK: Final = (ip_network("127.0.0.0/8"),)

QUICK: Final = replace(
    pokeapi.SOURCE,
    page_size=10,
    range_size=40,
    overlap=4,
    requests_per_second=10_000,
    concurrency=4,
    attempts=3,
    fresh_for=timedelta(hours=1),
    bounds=Bounds(first_pause_seconds=0.001, read_seconds=5.0, request_seconds=5.0),
)
"""The source as it is deployed, but for its pace and its sizes."""

FIRST: Final = PageRange(0, QUICK.range_size)
"""The first range of its list."""

STALE: Final = replace(QUICK, fresh_for=timedelta())
"""The same, at a time when everything is to be looked at again."""


def quietly(_done: Fetched) -> None:
    """Whom a fetch tells how far it is, where nobody listens."""


@dataclass
class Case:
    """A fetch, and all that it needs.

    Attributes:
        api: The API.
        reach: Where it, the queue and the warehouse are.
        sqs: A client of the queue.
        taken: The events that `events` has taken off the queue.
    """

    api: Upstream
    reach: Reach
    sqs: SQSClient
    taken: list[tuple[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """The warehouse."""
        return self.reach.outside.postgres_url

    def fetch(
        self,
        source: Source = QUICK,
        page_range: PageRange = FIRST,
        tell: Callable[[Fetched], None] = quietly,
    ) -> Fetched:
        """Fetches a range, the first if no other is named."""
        return fetch(self.reach, source, FEED, page_range, tell=tell)

    def fetch_all(self, source: Source = QUICK) -> Fetched:
        """Plans, and fetches one range after the other."""
        done = Fetched()
        for each in ranges(count(self.reach, source), source.range_size):
            done += self.fetch(source, each)
        return done

    def retry(self, source: Source = QUICK) -> Fetched:
        """Tries again what failed."""
        return retry_failed(self.reach, source, FEED, tell=quietly)

    def counts(self) -> Counts:
        """The records by state."""
        with ledger.opened(self.reach, QUICK) as known:
            return known.counts()

    def failures(self) -> list[Failure]:
        """The records that failed."""
        with ledger.opened(self.reach, QUICK) as known:
            return known.failures()

    def reasons(self) -> dict[str, str]:
        """Why which record failed."""
        return {each.item: each.reason for each in self.failures()}

    def ledger(self, columns: str) -> list[tuple[Any, ...]]:
        """Columns of the ledger, record by record in the order of their paths."""
        return ask(self.url, f"SELECT {columns} FROM pipeline.fetch ORDER BY item")

    def events(self) -> list[tuple[str, str]]:
        """Event id and body of each message that was ever on the queue."""
        self.taken += take_events(self.sqs)
        return self.taken

    def sent(self) -> Counter[str]:
        """How many messages there ever were of each record."""
        return Counter(record_of(event_id) for event_id, _ in self.events())


def case_at(server: Server, outside: Outside, sqs: SQSClient, api: Upstream) -> Case:
    """A case whose API a server serves from now on."""
    server.api = api
    return Case(api, Reach(outside, httpx.URL(server.url), LOOPBACK), sqs)


def take_events(sqs: SQSClient) -> list[tuple[str, str]]:
    """Takes what is on the queue: the event id and the body of each message."""
    queue = sqs.get_queue_url(QueueName=FEED.queue)["QueueUrl"]
    taken: list[tuple[str, str]] = []
    while True:
        answer = sqs.receive_message(
            QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["event_id"]
        )
        messages = answer.get("Messages", [])
        if not messages:
            return taken
        for each in messages:
            event_id = each["MessageAttributes"]["event_id"]["StringValue"]
            taken.append((event_id, each["Body"]))
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])


def record_of(event_id: str) -> str:
    """The record that an event is a version of."""
    return event_id.split(":")[2]


def path(number: int) -> str:
    """What a record is known by."""
    return f"{LIST}{number}/"


def paths(numbers: range | list[int]) -> Counter[str]:
    """One of each."""
    return Counter(path(number) for number in numbers)
