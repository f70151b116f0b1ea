"""Values as bytes and back: one form for each value, and lengths that tell little."""

import ipaddress
import socket
import unicodedata
from collections.abc import Iterator, Sequence

from pipeline.types import FieldType, IpAddress, JsonObject, Text

_SHORTEST = 32  # bytes: names, phone numbers and most ids are all of one length
_IPV4 = 4
_IPV6 = 16
_ZEROS = bytes(10)
# Three characters of four bytes: the most that Unicode's normal form C makes of one.
_BYTES_PER_CHARACTER = 12
_OTHERS_BYTES = 32  # the text of a number or a moment is shorter
_AT_ONCE = 2**20  # characters


def pack(values: Sequence[object], kind: FieldType) -> list[bytes]:
    """The canonical bytes of each value.

    An address becomes its 4 or 16 bytes. The text of any other value is normalised (Unicode NFC),
    encoded in UTF-8 and filled up with zero bytes, which no text holds, to 32, 64, 128 … bytes.

    Args:
        values: In the canonical form of their type.
        kind: The type.
    """
    if isinstance(kind, IpAddress):
        return [pack_address(str(value)) for value in values]
    return [content.ljust(_padded(len(content)), b"\0") for content in normalised(values)]


def unpack(content: bytes, kind: FieldType) -> str:
    """A value as text, in canonical form: the way back from `pack`.

    Raises:
        ValueError: The content is not that of a value of this type.
    """
    if isinstance(kind, IpAddress):
        return unpack_address(content)
    if len(content) < _SHORTEST:
        raise ValueError("an address, and no text")
    return content.rstrip(b"\0").decode()


def largest(kind: FieldType) -> int:
    """How many bytes `pack` makes of a value of that type at most."""
    if isinstance(kind, IpAddress):
        return _IPV6
    if isinstance(kind, Text):
        return _padded(kind.max_bytes or kind.max_length * _BYTES_PER_CHARACTER)
    if isinstance(kind, JsonObject):
        # Composing the characters of a text never makes more than three times its bytes.
        return _padded(3 * kind.max_bytes)
    return _OTHERS_BYTES


def portions(values: Sequence[object]) -> Iterator[Sequence[object]]:
    """All values in turn, no more at once than memory bears where they are long.

    On the way from a value to its mask there are several copies of it.
    """
    first = size = 0
    for place, value in enumerate(values):
        size += len(str(value))
        if size >= _AT_ONCE:
            yield values[first : place + 1]
            first, size = place + 1, 0
    if first < len(values):
        yield values[first:]


def normalised(values: Sequence[object]) -> list[bytes]:
    """Each value's text in normal form C, in UTF-8: two spellings of a name are one person's.

    All at once, with a character between them that no value holds and that never composes.

    Raises:
        ValueError: A value holds it, U+0000, and is thus in no canonical form.
    """
    text = "\0".join(map(str, values))
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    content = text.encode().split(b"\0") if values else []
    if len(content) != len(values):
        raise ValueError("a value holds the character U+0000")
    return content


def pack_address(address: str) -> bytes:
    """The 4 or 16 bytes of an address in canonical form."""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def unpack_address(content: bytes) -> str:
    """The canonical form of an address of 4 or 16 bytes."""
    if len(content) == _IPV4:
        return socket.inet_ntop(socket.AF_INET, content)
    # inet_ntop is five times as quick, and ends those that begin with zeros in a dotted quad.
    if content.startswith(_ZEROS):
        return str(ipaddress.IPv6Address(content))
    return socket.inet_ntop(socket.AF_INET6, content)


def _padded(length: int) -> int:
    size = _SHORTEST
    while size < length:
        size *= 2
    return size
