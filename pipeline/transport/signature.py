"""AWS Signature Version 4 of one kind of request: a POST of JSON to one address.

Source: AWS IAM user guide, "AWS Signature Version 4 for API requests". What botocore works out
anew for each call is worked out once here: only the time, the body and the token differ.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlsplit

from botocore.credentials import ReadOnlyCredentials
from botocore.utils import normalize_url_path

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_PORTS: Final = {"http": 80, "https": 443}


def host_of(url: str) -> str:
    """What a request to a URL has in its `Host` header, and signs: no port that goes without."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    return host if parts.port in {None, _PORTS.get(parts.scheme)} else f"{host}:{parts.port}"


@dataclass(frozen=True, slots=True)
class _Key:
    """A key that signs for one day; it shows in no representation.

    Attributes:
        made_of: The secret and the day.
        key: What signs.
    """

    made_of: tuple[str, str] = field(repr=False)
    key: bytes = field(repr=False)


class Signer:
    """Signs requests to one address; safe for use by several threads.

    Args:
        url: The address; it has no query.
        region: The region that the signature is for.
        service: The service, as signatures name it.
    """

    def __init__(self, url: str, region: str, service: str) -> None:
        self._scope = f"{region}/{service}/aws4_request"
        self._names = (region, service, "aws4_request")
        self._host = host_of(url)
        self._path = quote(normalize_url_path(urlsplit(url).path), safe="/~")
        self._key: _Key | None = None

    def sign(
        self, headers: dict[str, str], body: bytes, credentials: ReadOnlyCredentials, at: float
    ) -> dict[str, str]:
        """The headers of a request with those that the signature adds.

        Args:
            headers: What is sent and signed, by lower-case names.
            body: What is sent.
            credentials: Who signs.
            at: When, in seconds since the epoch.
        """
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
        headers = {**headers, "host": self._host, "x-amz-date": moment}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join([f"{name}:{headers[name]}\n" for name in names])
        digest = hashlib.sha256(body).hexdigest()
        request = f"POST\n{self._path}\n\n{lines}\n{signed}\n{digest}"
        scope = f"{moment[:8]}/{self._scope}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = self._key_of(credentials.secret_key or "", moment[:8])
        signature = hmac.digest(
            key, f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}".encode(), "sha256"
        ).hex()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope},"
            f" SignedHeaders={signed}, Signature={signature}"
        )
        return headers

    def _key_of(self, secret: str, day: str) -> bytes:
        """The day's key; the last one is kept, which threads may make twice but never mix up."""
        kept = self._key
        if kept is None or kept.made_of != (secret, day):
            key = f"AWS4{secret}".encode()
            for name in (day, *self._names):
                key = hmac.digest(key, name.encode(), "sha256")
            self._key = kept = _Key((secret, day), key)
        return kept.key
