"""How a pseudonym is written: `v`, the version of its key, a dot, and base64url without padding."""

import base64
import binascii
import re
from collections.abc import Sequence
from functools import partial

from pipeline.errors import TokenError
from pipeline.masking.by_length import by_length

_TOKEN = re.compile(r"v([1-9][0-9]{0,9})\.([A-Za-z0-9_-]+)", re.ASCII)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

LONGEST_PREFIX = len("v.") + 10


def write_tokens(version: int, content: Sequence[bytes]) -> list[str]:
    """The token of each piece of content, which has at least one byte."""
    return by_length(content, partial(_write_alike, f"v{version}."))


def _write_alike(prefix: str, content: Sequence[bytes]) -> list[str]:
    """Encodes all at once, each filled up to whole groups of three bytes."""
    size = len(content[0])
    filling = bytes(-size % 3)
    encoded = binascii.b2a_base64(filling.join([*content, b""]), newline=False)
    text = encoded.translate(_URL_SAFE).decode()
    length, width = characters(size), characters(size + len(filling))
    return [prefix + text[at : at + length] for at in range(0, len(text), width)]


def read_token(token: str) -> tuple[int, bytes]:
    """The version and the bytes of a token.

    Raises:
        TokenError: It is none.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise _no_token()
    version, text = int(match[1]), match[2]
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise _no_token() from None
    # The last character has bits to spare: only one of its spellings stands in a table.
    if write_tokens(version, [content]) != [token]:
        raise _no_token()
    return version, content


def characters(size: int) -> int:
    """How many characters base64 without padding makes of that many bytes."""
    return -(-size * 8 // 6)


def _no_token() -> TokenError:
    return TokenError(
        "this is no pseudonym", remedy="Copy one from the table as it is: v1. and what follows"
    )
