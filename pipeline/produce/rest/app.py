"""The service as one ASGI application: its routes, and what each request passes on the way."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from pipeline.produce.rest import openapi
from pipeline.produce.rest.catalog import SCHEMA_TYPE, Catalog, FeedSchema, allowed
from pipeline.produce.rest.front import Front
from pipeline.produce.rest.intake import Intake
from pipeline.produce.rest.pages import Pages
from pipeline.produce.rest.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    UNAUTHORIZED,
    Problem,
)
from pipeline.produce.rest.service import Service

Responses = dict[int | str, dict[str, Any]]


def create_app(service: Service) -> FastAPI:
    """The application over a service, without its pages.

    No route has a model for what it takes: FastAPI's own refusals, which repeat what was sent,
    have nothing to refuse.
    """
    app = FastAPI(
        title="Events",
        version="1",
        description="Takes events, and answers once they are on their queue.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        lifespan=lambda _app: _running(service),
    )
    app.add_middleware(Front, service=service)
    app.add_exception_handler(HTTPException, _translate)
    _add_feeds(app, service)
    _add_catalog(app, service)
    return app


def add_docs(app: FastAPI, service: Service) -> None:
    """Adds the pages for people, and the OpenAPI document."""
    pages = Pages(service)

    async def document(request: Request) -> Response:
        return JSONResponse(openapi.describe(app, service, allowed(request, service)))

    async def home(_request: Request) -> Response:
        return RedirectResponse("/docs")

    for path, endpoint in (
        ("/", home),
        ("/docs", pages.docs),
        ("/openapi.json", document),
        ("/problems", pages.problems),
        ("/problems/{name}", pages.problem),
    ):
        app.add_api_route(path, endpoint, include_in_schema=False, response_model=None)


def _add_feeds(app: FastAPI, service: Service) -> None:
    for feed in service.feeds.values():
        app.add_api_route(
            f"/v1/feeds/{feed.name}/messages",
            Intake(feed, service).post,
            methods=["POST"],
            name=f"send_{feed.name}",
            summary=f"Send to {feed.name}",
            description=f"{feed.description}\n\n{openapi.IDEMPOTENCY}",
            status_code=202,
            response_class=Response,
            response_model=None,
            responses=openapi.answers(feed=feed),
            openapi_extra=openapi.of_feed(feed),
        )
        app.add_api_route(
            f"/v1/feeds/{feed.name}",
            FeedSchema(feed).get,
            name=f"describe_{feed.name}",
            summary=f"What {feed.name} takes",
            response_class=Response,
            response_model=None,
            responses={
                200: openapi.content("JSON Schema, draft 2020-12.", SCHEMA_TYPE),
                **openapi.problems(UNAUTHORIZED, FORBIDDEN),
            },
        )


def _add_catalog(app: FastAPI, service: Service) -> None:
    catalog = Catalog(service)
    told: dict[str, Responses] = {
        "/v1/feeds": {
            200: openapi.content("The feeds.", "application/json", "Feeds"),
            **openapi.problems(UNAUTHORIZED),
        },
        "/healthz": {200: openapi.content("Alive.", "application/json")},
        "/readyz": {
            200: openapi.content("A queue can be reached.", "application/json"),
            503: openapi.content("None can.", "application/json"),
        },
        "/metrics": {200: openapi.content("For Prometheus.", "text/plain")},
    }
    endpoints = (catalog.feeds, catalog.healthz, catalog.readyz, catalog.metrics)
    for (path, responses), endpoint in zip(told.items(), endpoints, strict=True):
        app.add_api_route(
            path, endpoint, response_class=Response, response_model=None, responses=responses
        )


@contextlib.asynccontextmanager
async def _running(service: Service) -> AsyncIterator[None]:
    """Keeps the keys fresh meanwhile; at the end sends what still waits."""
    fresh = asyncio.create_task(service.senders.keep_fresh()) if service.senders else None
    try:
        yield
    finally:
        if fresh is not None:
            fresh.cancel()
        await service.gatherer.close()
        service.store.close()


async def _translate(request: Request, error: Exception) -> Response:
    """What the router refuses, as a problem."""
    assert isinstance(error, HTTPException)  # noqa: S101 - as it is registered
    if error.status_code == METHOD_NOT_ALLOWED.status:
        allow = {"allow": (error.headers or {}).get("Allow", "")}
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=allow)
        raise Problem(METHOD_NOT_ALLOWED, "The header Allow names the methods", headers=allow)
    if error.status_code == NOT_FOUND.status:
        raise Problem(NOT_FOUND, "There is nothing at this path")
    raise Problem(BAD_REQUEST, "The request could not be read")
