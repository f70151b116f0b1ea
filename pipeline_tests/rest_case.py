"""A REST service for tests: the real server on loopback, over a real embedded queue."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import boto3
import httpx
from mypy_boto3_sqs import SQSClient

from pipeline import feeds
from pipeline.contract import Feed
from pipeline.local.queue.server import QueueServer
from pipeline.produce.rest.app import add_docs, create_app
from pipeline.produce.rest.idempotency import MemoryStore, Store
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.senders import Senders
from pipeline.produce.rest.server import make_server
from pipeline.produce.rest.service import Service
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.queue_fixtures import client_for, new_queues, serving
from pipeline_tests.samples import EVERY_TYPE

USER_LOGINS: Final = feeds.find("user_logins")
LOGINS: Final = "/v1/feeds/user_logins/messages"
READINGS: Final = "/v1/feeds/readings/messages"


@dataclass(frozen=True)
class Rest:
    """A running service.

    Attributes:
        url: Where it listens.
        http: A client of it.
        service: What it works with.
        sqs: The client that it sends with.
    """

    url: str
    http: httpx.Client
    service: Service
    sqs: SQSClient

    def post(
        self, content: object, path: str = LOGINS, *, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Sends JSON; bytes as they are."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"content-type": "application/json", **(headers or {})}
        return self.http.post(path, content=body, headers=given)

    def queued(self, feed: Feed = USER_LOGINS) -> dict[str, dict[str, Any]]:
        """The records on a feed's queue by event id; each is taken off."""
        queue = SqsQueue(self.sqs, feed, embedded=True)
        found: dict[str, dict[str, Any]] = {}
        while queue.depth().visible:
            messages = queue.receive(10)
            for each in messages:
                assert each.event_id is not None
                assert each.event_id not in found, "an event is on the queue twice"
                found[each.event_id] = json.loads(each.body)
            queue.delete(messages)
        return found

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric, summed over the labels that are not given."""
        total = 0.0
        for line in self.http.get("/metrics").text.splitlines():
            series, _, value = line.rpartition(" ")
            if series.partition("{")[0] == f"pipeline_rest_{name}" and all(
                f'{label}="{text}"' in series for label, text in labels.items()
            ):
                total += float(value)
        return total


@contextlib.contextmanager
def observed_queue(aws: boto3.Session) -> Iterator[tuple[SQSClient, ObservedApp]]:
    """A client of a queue server of its own, and the server with its calls."""
    app = ObservedApp(new_queues())
    with serving(QueueServer(app)) as url, contextlib.closing(client_for(url, aws)) as sqs:
        yield sqs, app


@contextlib.contextmanager
def rest(
    sqs: SQSClient,
    *,
    limits: Limits | None = None,
    senders: Senders | None = None,
    store: Store | None = None,
    served: Sequence[Feed] = (USER_LOGINS, EVERY_TYPE),
    embedded: bool = True,
) -> Iterator[Rest]:
    """Serves feeds over the queues that a client leads to, which are made unless told otherwise."""
    opening = partial(SqsQueue, sqs, embedded=embedded)
    service = Service.over(
        served,
        sending=opening,
        looking=opening,
        senders=senders,
        store=store or MemoryStore(),
        limits=limits or Limits(),
    )
    app = create_app(service)
    add_docs(app, service)
    with serving(make_server(app, service)) as url, httpx.Client(base_url=url) as http:
        yield Rest(url, http, service, sqs)


def quick(**changes: Any) -> Limits:  # noqa: ANN401 - as `replace` takes them
    """Limits with changes."""
    return replace(Limits(), **changes)
