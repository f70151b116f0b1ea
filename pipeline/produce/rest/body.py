"""Reads a body: JSON in UTF-8, no more of it and for no longer than the limits allow."""

import asyncio
from typing import Final

from starlette.requests import Request

from pipeline.produce.rest.exchange import Exchange
from pipeline.produce.rest.limits import ONE_BYTES, Limits
from pipeline.produce.rest.problems import MEDIA, TIMEOUT, TOO_LARGE, Problem
from pipeline.produce.rest.room import Share

_WHITE_SPACE: Final = b" \t\r\n"
_JSON: Final = b"application/json"
_PARAMETERS: Final = (b"charset=utf-8", b'charset="utf-8"', b"")


class CallerGone(Exception):
    """The caller hung up before its body was whole: there is nobody to answer."""


def headers_named(request: Request, name: bytes) -> list[bytes]:
    """The values of all headers of a name, which is in lower case."""
    return [value for each, value in request.scope["headers"] if each == name]


async def read_body(request: Request, exchange: Exchange, limits: Limits, share: Share) -> bytes:
    """The whole body, counted as it comes: what the headers say of its length proves nothing.

    Raises:
        Problem: 415, 413, 408; or 503 where there is no room for it.
        CallerGone: The caller hung up.
    """
    _check_media(request)
    declared = headers_named(request, b"content-length")
    if declared and int(declared[0]) > limits.batch_bytes:
        raise _too_large(limits.batch_bytes)
    try:
        async with asyncio.timeout(limits.body_seconds):
            return await _read(request, exchange, limits, share)
    except TimeoutError:
        detail = f"The body was not whole after {limits.body_seconds:g} s"
        raise Problem(TIMEOUT, detail, headers={"connection": "close"}) from None


async def _read(request: Request, exchange: Exchange, limits: Limits, share: Share) -> bytes:
    parts: list[bytes] = []
    most = 0
    while not exchange.body_read:
        event = await request.receive()
        if event["type"] == "http.disconnect":
            raise CallerGone
        part: bytes = event.get("body", b"")
        exchange.body_read = not event.get("more_body", False)
        exchange.bytes += len(part)
        if not most and (start := part.lstrip(_WHITE_SPACE)):
            most = limits.batch_bytes if start.startswith(b"[") else ONE_BYTES
        if exchange.bytes > (most or ONE_BYTES):
            raise _too_large(most or ONE_BYTES)
        share.take(size=len(part))
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _check_media(request: Request) -> None:
    encodings = headers_named(request, b"content-encoding")
    if any(each.strip().lower() != b"identity" for each in encodings):
        raise Problem(MEDIA, "A body with a Content-Encoding is not taken")
    types = headers_named(request, b"content-type")
    media, *parameters = types[0].lower().split(b";") if len(types) == 1 else [b""]
    if media.strip() != _JSON or any(each.strip() not in _PARAMETERS for each in parameters):
        raise Problem(MEDIA, "The Content-Type is not application/json, in UTF-8")


def _too_large(most: int) -> Problem:
    return Problem(TOO_LARGE, f"The body has more than {most} bytes")
