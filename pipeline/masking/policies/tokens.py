"""Pseudonyms: keyed, deterministic tokens that carry the version of their key."""

import base64
import hashlib
import hmac
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pipeline.masking.keyring import FieldKeys
from pipeline.types import FieldType


@dataclass(frozen=True, slots=True)
class Pseudonymize:
    """The value becomes a keyed, deterministic, one-way pseudonym.

    HMAC-SHA256 (RFC 2104) under a key of the feed and field, 256 bits in base64url, behind the
    key version: `v1.` and 43 characters. Equal values get equal pseudonyms, so analysts can
    join and count. Text is normalised to Unicode NFC first: one person, one pseudonym.
    """

    name: ClassVar[str] = "pseudonymize"
    pattern: ClassVar[str] = r"v[0-9]+\.[A-Za-z0-9_-]{43}"

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - a pseudonym has one shape
        """Wide enough for any key version, and for a longer token later."""
        return "varchar(256)"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - any type's text will do
        """The pseudonym of each value."""
        prefix = f"v{keys.current}."
        # A copy of the keyed state saves two of the four hash blocks a value.
        secret = keys.secret("field", version=keys.current)
        keyed = hmac.new(secret, digestmod=hashlib.sha256)
        tokens: list[object] = []
        for value in values:
            state = keyed.copy()
            state.update(unicodedata.normalize("NFC", str(value)).encode())
            token = base64.urlsafe_b64encode(state.digest())
            tokens.append(prefix + token.rstrip(b"=").decode())
        return tokens

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for any field
        """Nothing can be wrong."""
        return None
