"""The headers in which a caller names its request and its event."""

import re
import uuid
from typing import Final

from starlette.requests import Request

from pipeline.produce.rest.body import headers_named
from pipeline.produce.rest.idempotency import Claim
from pipeline.produce.rest.problems import BAD_HEADER, Problem

_EVENT_ID: Final = re.compile(rb"[A-Za-z0-9._~-]{1,128}")
_KEY: Final = re.compile(rb"[\x21-\x7e]{16,255}")


def event_id(request: Request) -> str | None:
    """The header `Event-Id`: which event the one record is.

    Raises:
        Problem: It is not an id, or there are several.
    """
    given = headers_named(request, b"event-id")
    if not given:
        return None
    if len(given) > 1 or not _EVENT_ID.fullmatch(given[0]):
        raise Problem(BAD_HEADER, "Event-Id: one, of 1 to 128 letters, digits and . _ ~ -")
    return given[0].decode()


def idempotency_key(request: Request) -> str | None:
    """The header `Idempotency-Key`, as a quoted string of RFC 8941 or bare.

    Raises:
        Problem: It is not a key, or there are several.
    """
    given = headers_named(request, b"idempotency-key")
    if not given:
        return None
    key = given[0]
    if len(key) > 1 and key.startswith(b'"') and key.endswith(b'"'):
        key = key[1:-1]
    if len(given) > 1 or not _KEY.fullmatch(key) or b'"' in key or b"\\" in key:
        raise Problem(
            BAD_HEADER,
            "Idempotency-Key: one, of 16 to 255 visible ASCII characters, no quote or backslash"
            " among them",
        )
    return key.decode()


def for_one(sender: str, given: str | None, claim: Claim | None) -> str:
    """The id of a request's event. It begins with the sender: nobody can use another's.

    Args:
        sender: The sender's name.
        given: The header `Event-Id`.
        claim: Of the Idempotency-Key: the same key and payload make the same id.
    """
    return f"rest:{sender}:{given or (claim.event_id if claim else uuid.uuid4())}"


def for_batch(sender: str, given: str | None, claim: Claim | None, count: int) -> list[str]:
    """The ids of a batch's events, as `for_one`, told apart by their places."""
    first = for_one(sender, given, claim)
    return [f"{first}-{place}" for place in range(count)]
