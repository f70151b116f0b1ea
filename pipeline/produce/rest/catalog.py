"""Tells which feeds there are, what each takes, and how the service is."""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.contract import Feed
from pipeline.errors import SeedError
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.rest import metrics
from pipeline.produce.rest.exchange import Exchange
from pipeline.produce.rest.schema import DIALECT, definitions, record_schema
from pipeline.produce.rest.service import Service

SCHEMA_TYPE: Final = "application/schema+json"

_CHOICE: Final = 10  # records, of which one is shown
_EXAMPLES_SEED: Final = 20_260_101


def allowed(request: Request, service: Service) -> list[Feed]:
    """The feeds that the request's sender may write to."""
    exchange: Exchange = request.state.exchange
    return [feed for feed in service.feeds.values() if exchange.sender.may_write(feed.name)]


def examples(feed: Feed, count: int) -> list[dict[str, Any]]:
    """Realistic records, the same every time; none for a type that has no samples.

    Those with the fewest nulls: an example is to show what there can be.
    """
    try:
        events = list(generate(feed, Recipe(count=_CHOICE * count, random_seed=_EXAMPLES_SEED)))
    except SeedError:
        return []
    bodies = sorted((event.body for event in events), key=lambda body: body.count("null"))
    return [msgspec.json.decode(body, type=dict[str, Any]) for body in bodies[:count]]


def entry(feed: Feed) -> dict[str, str]:
    """A feed as the list of feeds has it."""
    path = f"/v1/feeds/{feed.name}"
    return {
        "name": feed.name,
        "description": feed.description,
        "schema": path,
        "messages": f"{path}/messages",
    }


def schema(feed: Feed) -> dict[str, Any]:
    """The schema of a feed's records, as a document of its own."""
    told = {"$schema": DIALECT, **record_schema(feed), "examples": examples(feed, 1)}
    return told | {"$defs": found} if (found := definitions(feed)) else told


class Catalog:
    """The routes for reading.

    Args:
        service: What they tell about.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def feeds(self, request: Request) -> Response:
        """The feeds that the key is bound to."""
        return _json({"feeds": [entry(feed) for feed in allowed(request, self._service)]})

    async def healthz(self, _request: Request) -> Response:
        """Answers for as long as the process does its work."""
        return _json({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Ready while one queue at least can be reached: 200; else 503."""
        found = await self._service.readiness.look()
        ready = "ok" in found.values()
        told = {"status": "ok" if ready else "unavailable", "queues": found}
        return _json(told, status=200 if ready else 503)

    async def metrics(self, _request: Request) -> Response:
        """What Prometheus reads."""
        return Response(self._service.metrics.text(), headers={"content-type": metrics.MEDIA_TYPE})


class FeedSchema:
    """The route that tells what one feed takes.

    Args:
        feed: The feed.
    """

    def __init__(self, feed: Feed) -> None:
        self._body = msgspec.json.encode(schema(feed))

    async def get(self, _request: Request) -> Response:
        """The JSON Schema (draft 2020-12) of a record, made from the feed's contract."""
        return Response(self._body, media_type=SCHEMA_TYPE)


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")
