"""How a pseudonym is written: `v`, the version of its key, a dot, and base64url without padding."""

import base64
import binascii
import re
from collections.abc import Iterable

from pipeline.errors import TokenError

_TOKEN = re.compile(r"v([1-9][0-9]{0,9})\.([A-Za-z0-9_-]+)", re.ASCII)
_URL_SAFE = bytes.maketrans(b"+/", b"-_")

LONGEST_PREFIX = len("v.") + 10


def write_tokens(version: int, content: Iterable[bytes]) -> list[str]:
    """The token of each piece of content."""
    written = [binascii.b2a_base64(each, newline=False) for each in content]
    # Once for all of them: a call for each would take as long as the encoding.
    text = b".".join(written).translate(_URL_SAFE, delete=b"=").decode()
    prefix = f"v{version}."
    return [prefix + each for each in text.split(".")] if written else []


def read_token(token: str) -> tuple[int, bytes]:
    """The version and the bytes of a token.

    Raises:
        TokenError: It is none.
    """
    match = _TOKEN.fullmatch(token)
    if match is None:
        raise _no_token()
    version, text = match.groups()
    try:
        return int(version), base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise _no_token() from None


def characters(size: int) -> int:
    """How many characters base64 without padding makes of that many bytes."""
    return -(-size * 8 // 6)


def _no_token() -> TokenError:
    return TokenError(
        "this is no pseudonym", remedy="Copy one from the table as it is: v1. and what follows"
    )
