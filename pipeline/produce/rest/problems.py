"""The service's errors as RFC 9457 has them: what, where, which rule; never what was sent."""

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem.

    Attributes:
        name: The last part of its type, `/problems/NAME`.
        status: The HTTP status.
        title: The same for every problem of this kind.
        advice: What whoever gets it should do.
    """

    name: str
    status: int
    title: str
    advice: str

    @property
    def type(self) -> str:
        """A relative URI, at which the service tells about it."""
        return f"/problems/{self.name}"


class Problem(Exception):
    """A request cannot be done.

    Args:
        kind: Which kind of problem.
        detail: What happened, in one sentence that repeats nothing of the request.
        feed: The feed's name.
        field: The path of the field at fault.
        rule: The rule that was broken.
        retry_after: Seconds after which another try makes sense.
        headers: What else the answer says.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        feed: str | None = None,
        field: str | None = None,
        rule: str | None = None,
        retry_after: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.detail = detail
        self.feed = feed
        self.field = field
        self.rule = rule
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(retry_after)
        super().__init__(kind.name)

    @property
    def reason(self) -> str:
        """The shortest true answer to why: the rule, or else the kind."""
        return self.rule or self.kind.name

    def members(self, error_id: str) -> dict[str, Any]:
        """The problem as an object of JSON."""
        places = {"feed": self.feed, "field": self.field, "rule": self.rule}
        return {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "error_id": error_id,
            **{name: value for name, value in places.items() if value is not None},
        }

    def body(self, error_id: str) -> bytes:
        """The problem as the body of an answer."""
        return msgspec.json.encode(self.members(error_id))


@dataclass(slots=True)
class _Catalog:
    kinds: dict[str, Kind] = field(default_factory=dict)

    def add(self, name: str, status: int, title: str, advice: str) -> Kind:
        kind = Kind(name, status, title, advice)
        self.kinds[name] = kind
        return kind


_catalog = _Catalog()
_AGAIN: Final = "Send the same request again after Retry-After seconds, with the same key or id."

BAD_REQUEST: Final = _catalog.add(
    "bad-request", 400, "The request is not sound HTTP",
    "Correct the header or the request line that the detail names.",
)  # fmt: skip
BAD_HEADER: Final = _catalog.add(
    "bad-header", 400, "A header breaks its rule",
    "Correct the header that the detail names, with the rule that it breaks.",
)  # fmt: skip
NOT_JSON: Final = _catalog.add(
    "not-json", 400, "The body is not JSON",
    "Send one JSON object, or an array of them, in UTF-8. `rule` says what is wrong.",
)  # fmt: skip
UNAUTHORIZED: Final = _catalog.add(
    "unauthorized", 401, "No valid API key",
    "Send your key in the header `Authorization: Bearer KEY`.",
)  # fmt: skip
FORBIDDEN: Final = _catalog.add(
    "forbidden", 403, "The key does not allow this",
    "Use a feed that your key is bound to (GET /v1/feeds), or ask for the right.",
)  # fmt: skip
NOT_FOUND: Final = _catalog.add(
    "not-found", 404, "Nothing is here",
    "GET /v1/feeds lists the feeds and where their messages go.",
)  # fmt: skip
METHOD_NOT_ALLOWED: Final = _catalog.add(
    "method-not-allowed", 405, "This method is not allowed here",
    "Use one of the methods in the header Allow.",
)  # fmt: skip
TIMEOUT: Final = _catalog.add(
    "timeout", 408, "The request took too long to arrive",
    "Send it again, faster or in smaller batches; nothing of it was taken.",
)  # fmt: skip
IN_PROGRESS: Final = _catalog.add(
    "in-progress", 409, "A request with this Idempotency-Key is in progress",
    "Send the same request again after Retry-After seconds: it gets the first one's answer.",
)  # fmt: skip
TOO_LARGE: Final = _catalog.add(
    "too-large", 413, "The request is too large",
    "Send less at a time. A record may have 1 MiB, its event id included; larger ones belong into"
    " a store, with a reference to them in the record.",
)  # fmt: skip
URI_TOO_LONG: Final = _catalog.add(
    "uri-too-long", 414, "The request line is too long",
    "No path of this service needs parameters.",
)  # fmt: skip
MEDIA: Final = _catalog.add(
    "unsupported-media-type", 415, "The body is of a type that is not taken",
    "Send `Content-Type: application/json`, in UTF-8, without a Content-Encoding.",
)  # fmt: skip
MISDIRECTED: Final = _catalog.add(
    "misdirected", 421, "The Host header names another machine",
    "Without API keys the service answers to localhost only: configure keys to serve others.",
)  # fmt: skip
CONTRACT: Final = _catalog.add(
    "contract", 422, "The record breaks its contract",
    "Correct `field`, which breaks `rule`; GET /v1/feeds/FEED has the schema.",
)  # fmt: skip
BATCH_SIZE: Final = _catalog.add(
    "batch-size", 422, "A batch has 1 to 1,000 records",
    "Send the records in several batches.",
)  # fmt: skip
KEY_REUSED: Final = _catalog.add(
    "key-reused", 422, "The Idempotency-Key belongs to another payload",
    "Use a new key for each new request.",
)  # fmt: skip
REFUSED_BY_QUEUE: Final = _catalog.add(
    "refused-by-queue", 422, "The queue refuses the record for what it holds",
    "Report it with the error id: the record keeps its contract.",
)  # fmt: skip
TOO_MANY_REQUESTS: Final = _catalog.add(
    "too-many-requests", 429, "More than this key's rate allows",
    "Wait for Retry-After seconds.",
)  # fmt: skip
HEADERS_TOO_LARGE: Final = _catalog.add(
    "headers-too-large", 431, "The headers are too many or too large",
    "Send fewer headers.",
)  # fmt: skip
INTERNAL: Final = _catalog.add(
    "internal", 500, "An error that nobody foresaw",
    "Report it with the error id. What was sent may be on the queue: send it again with the same"
    " Idempotency-Key or Event-Id.",
)  # fmt: skip
OVERLOADED: Final = _catalog.add("overloaded", 503, "The service is at its bound", _AGAIN)
QUEUE_UNAVAILABLE: Final = _catalog.add(
    "queue-unavailable", 503, "The queue does not take messages at the moment", _AGAIN
)
STORE_UNAVAILABLE: Final = _catalog.add(
    "store-unavailable", 503, "Idempotency-Keys cannot be looked up at the moment", _AGAIN
)

KINDS: Final = tuple(_catalog.kinds.values())
"""Every kind, in the order of their statuses."""
