"""Reads an answer as it comes, and no more of it than there may be."""

import zlib
from collections.abc import Collection, Mapping

import httpx
import msgspec

from pipeline.produce.fetch.trouble import Passing, Refusal, Trouble

_GZIP = 31  # zlib's number for a gzip header and the largest window
_ENCODINGS = {"", "identity", "gzip"}


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """The body, decompressed.

    Args:
        response: One that is not read yet.
        limit: The most that there may be, in bytes; compressed and decompressed.

    Raises:
        Refusal: There is more of it, or it is compressed in another way than was asked for.
        httpx.TransportError: The connection broke.
    """
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in _ENCODINGS:
        raise Refusal(Trouble.ENCODING)
    inflate = zlib.decompressobj(_GZIP) if encoding == "gzip" else None
    body = bytearray()
    taken = 0
    async for piece in response.aiter_raw():
        taken += len(piece)
        # Not httpx's decoder: it would give a thousand times what it is given in one piece.
        body += piece if inflate is None else _inflate(inflate, piece, limit + 1 - len(body))
        if taken > limit or len(body) > limit:
            raise Refusal(Trouble.TOO_LARGE)
    if inflate is not None and not inflate.eof:
        raise Passing(Trouble.CUT_SHORT)
    return bytes(body)


def _inflate(inflate: "zlib._Decompress", piece: bytes, room: int) -> bytes:
    try:
        inflated = inflate.decompress(piece, room)
    except zlib.error:
        raise Passing(Trouble.CUT_SHORT) from None
    if inflate.unused_data:
        raise Refusal(Trouble.ENCODING)
    return inflated


def read_document(body: bytes, levels: int) -> Mapping[str, object]:
    """The JSON object that a body holds.

    Raises:
        Refusal: It holds no JSON, another value, or nests more than `levels` deep.
    """
    try:
        document = msgspec.json.decode(body)
    except RecursionError:
        raise Refusal(Trouble.TOO_DEEP) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Passing(Trouble.NOT_JSON) from None
    if not isinstance(document, dict):
        raise Refusal(Trouble.NOT_AN_OBJECT)
    level: list[object] = [document]
    for _ in range(levels):
        level = [child for value in level for child in _children(value)]
        if not level:
            return document
    raise Refusal(Trouble.TOO_DEEP)


def _children(value: object) -> Collection[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
