"""Reads an answer as it comes, and no more of it than there may be."""

import zlib
from collections.abc import Collection, Mapping

import httpx
import msgspec

from pipeline.produce.fetch.trouble import Passing, Refusal, Trouble

_GZIP = 31  # zlib's number for a gzip header and the largest window
_PLAIN = {"", "identity"}
_COMPRESSED = {"gzip", "x-gzip"}  # two names of one (RFC 9110, section 8.4.1.3)
_MEMBERS = 64  # files of which a gzip may consist: each has what follows it copied


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
    if encoding not in _PLAIN | _COMPRESSED:
        raise Refusal(Trouble.ENCODING)
    inflate = _Inflate() if encoding in _COMPRESSED else None
    body = bytearray()
    taken = 0
    async for piece in response.aiter_raw():
        taken += len(piece)
        # Not httpx's decoder: it would give a thousand times what it is given in one piece.
        body += piece if inflate is None else inflate.read(piece, limit + 1 - len(body))
        if taken > limit or len(body) > limit:
            raise Refusal(Trouble.TOO_LARGE)
    if inflate is not None and not inflate.is_whole:
        raise Passing(Trouble.CUT_SHORT)
    return bytes(body)


class _Inflate:
    """Decompresses gzip: one file, or several that follow each other (RFC 1952, section 2.2)."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._left = _MEMBERS

    @property
    def is_whole(self) -> bool:
        """Whether it may end here."""
        return self._member.eof

    def read(self, piece: bytes, room: int) -> bytes:
        """What a piece decompresses to; at most `room` bytes, which is at least one."""
        inflated = bytearray()
        while piece and len(inflated) < room:
            if self._member.eof:
                self._begin_another()
            try:
                inflated += self._member.decompress(piece, room - len(inflated))
            except zlib.error:
                raise Passing(Trouble.CUT_SHORT) from None
            piece = self._member.unused_data
        return bytes(inflated)

    def _begin_another(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Refusal(Trouble.ENCODING)
        self._member = zlib.decompressobj(_GZIP)


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
