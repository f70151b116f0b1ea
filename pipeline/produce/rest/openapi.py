"""What OpenAPI says beside FastAPI's own: each feed's schema and examples, each problem."""

from collections.abc import Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from pipeline.contract import Feed
from pipeline.produce.rest.catalog import examples
from pipeline.produce.rest.limits import MOST_RECORDS
from pipeline.produce.rest.problems import (
    CONTRACT,
    KINDS,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    Kind,
    Problem,
)
from pipeline.produce.rest.schema import definitions, move_definitions, record_schema
from pipeline.produce.rest.service import Service

_JSON: Final = "application/json"
_ERROR_ID: Final = "7d4f5a0e-0b0c-4a55-9d5b-0f6f4bb8a1b3"
_TAKEN: Final = {
    "event_id": {"type": "string"},
    "message_id": {"type": "string", "description": "SQS's id of the message."},
}
_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "RFC 9457. It never repeats what was sent.",
    "required": ["type", "title", "status", "detail", "error_id"],
    "properties": {
        "type": {"type": "string", "enum": [kind.type for kind in KINDS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error_id": {"type": "string", "format": "uuid"},
        "feed": {"type": "string"},
        "field": {"type": "string", "description": "The path of the field at fault."},
        "rule": {"type": "string", "description": "The rule that it breaks."},
        "items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
    },
}
_SCHEMAS: Final = {
    "Problem": _PROBLEM,
    "Taken": {"type": "object", "required": list(_TAKEN), "properties": _TAKEN},
    "Item": {
        "type": "object",
        "required": ["index", "status"],
        "properties": {
            "index": {"type": "integer"},
            "status": {"type": "integer", "enum": [202, 422, 503]},
            **_TAKEN,
            "error": {"$ref": "#/components/schemas/Problem"},
        },
    },
    "Batch": {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}}},
    },
    "Feeds": {
        "type": "object",
        "required": ["feeds"],
        "properties": {
            "feeds": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "description", "schema", "messages"],
                    "additionalProperties": {"type": "string"},
                },
            }
        },
    },
}
IDEMPOTENCY: Final = (
    "Takes an `Idempotency-Key`: 16 to 255 visible ASCII characters, a new one for each request,"
    " such as a UUID. The same key with the same payload gets the same answer, for 24 hours."
)
"""Said in words: tools that make requests from a declared header send one value again and again
with other payloads, which is just what must be refused."""

_HEADERS: Final = [
    {
        "name": "Event-Id",
        "in": "header",
        "description": "Which event it is; those of a batch are told apart by -0, -1, and so on.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{1,128}$"},
    },
]


def describe(app: FastAPI, service: Service, feeds: Sequence[Feed]) -> dict[str, Any]:
    """The OpenAPI document for whoever may write to these feeds."""
    others = service.feeds.keys() - {feed.name for feed in feeds}
    # Each path as a whole: a feed may itself be named `messages`.
    hidden = {f"/v1/feeds/{name}{rest}" for name in others for rest in ("", "/messages")}
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    document["paths"] = {
        path: told for path, told in document["paths"].items() if path not in hidden
    }
    components: dict[str, Any] = {"schemas": _SCHEMAS.copy()}
    for feed in feeds:
        told = definitions(feed) | {feed.name: record_schema(feed)}
        components["schemas"] |= move_definitions(told, "#/components/schemas/")
    if service.senders is not None:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            if path.startswith("/v1/"):
                for operation in operations.values():
                    operation["security"] = [{"key": []}]
    return {**document, "components": components}


def of_feed(feed: Feed) -> dict[str, Any]:
    """What a feed's endpoint takes, as an operation of OpenAPI."""
    record = {"$ref": f"#/components/schemas/{feed.name}"}
    batch = {"type": "array", "items": record, "minItems": 1, "maxItems": MOST_RECORDS}
    content: dict[str, Any] = {"schema": {"oneOf": [record, batch]}}
    if found := examples(feed, 2):
        content["examples"] = {
            "record": {"summary": "One record", "value": found[0]},
            "batch": {"summary": "A batch", "value": found},
        }
    return {
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {_JSON: content}},
    }


def answers(*, feed: Feed) -> dict[int | str, dict[str, Any]]:
    """What a feed's endpoint answers."""
    one, batch = (
        {"$ref": "#/components/schemas/Taken"},
        {"$ref": "#/components/schemas/Batch"},
    )
    taken = {"event_id": f"rest:local:{_ERROR_ID}", "message_id": _ERROR_ID}
    return {
        202: {
            "description": "Every record is on the queue.",
            "content": {_JSON: {"schema": {"oneOf": [one, batch]}, "example": taken}},
        },
        207: {
            "description": "Some records of the batch are on the queue; `items` tells which.",
            "content": {_JSON: {"schema": batch}},
        },
        **problems(*(kind for kind in KINDS if kind is not METHOD_NOT_ALLOWED), feed=feed),
    }


def problems(*kinds: Kind, feed: Feed | None = None) -> dict[int | str, dict[str, Any]]:
    """The problems that an operation may answer with, one entry a status."""
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        told = found.setdefault(kind.status, _problem(kind, feed))
        if kind.title not in told["description"]:
            told["description"] += f"; or: {kind.title}"
    return found


def _problem(kind: Kind, feed: Feed | None) -> dict[str, Any]:
    of_record = feed is not None and kind is CONTRACT
    problem = Problem(
        kind,
        kind.advice,
        feed=feed.name if feed and of_record else None,
        field=feed.fields[0].path if feed and of_record else None,
        rule="missing" if of_record else None,
    )
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": schema, "example": problem.members(_ERROR_ID)}}
    return {"description": kind.title, "content": content}


def content(description: str, media: str, schema: str | None = None) -> dict[str, Any]:
    """What an operation answers where all is well."""
    told = {"$ref": f"#/components/schemas/{schema}"} if schema else {}
    return {"description": description, "content": {media: {"schema": told}}}
