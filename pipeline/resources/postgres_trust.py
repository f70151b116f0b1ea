"""Whether a Postgres server shows that it is ours, and what is the matter where it does not."""

import os
from ipaddress import ip_address
from typing import Final

import psycopg

from pipeline.errors import WarehouseNotTrusted

_AUTHORITY: Final = (
    "its certificate is out of date, or not signed by the authority that is trusted",
    "Let sslrootcert name the authority's file, or write system; renew what has run out",
)
# libpq gives these no code. Its versions 17 and 18, which our two drivers bring along, have the
# same words, and in every language: Python leaves that of messages at C. In this order.
_REASONS: Final[dict[str, tuple[str, str]]] = {
    "certificate verify failed": _AUTHORITY,
    "signature failure": _AUTHORITY,  # an authority of the same name, with another key
    "does not match host name": (
        "its certificate is another host's",
        "Write the host in the URL as the certificate has it, or give the server one for that name",
    ),
    "root certificate": (
        "the authority's certificate cannot be read here",
        "Let sslrootcert name a file that this process may read, or write sslrootcert=system",
    ),
    "server does not support SSL": (
        "it does not encrypt",
        "Set ssl = on and a certificate there; never lower sslmode to get on",
    ),
    "channel binding": (
        "its password exchange does not prove that nobody stands in between",
        "Look for what ends TLS on the way; store the password with SCRAM (docs/postgres-tls.md)",
    ),
    "authentication method requirement": (
        "it asks for the password in a way that the URL's require_auth forbids",
        "Let pg_hba.conf ask for scram-sha-256, and store the password so (docs/postgres-tls.md)",
    ),
}
_VERIFIES: Final = "verify-full"


def why_not_trusted(error: Exception) -> WarehouseNotTrusted | None:
    """The error for a server that does not show what the URL asks of it; None for other failures.

    Args:
        error: What a driver over libpq raised from connecting: psycopg, or psycopg2.
    """
    text = str(error)
    for words, (what, remedy) in _REASONS.items():
        if words in text:
            return WarehouseNotTrusted(
                f"the Postgres server is not trusted: {what}",
                remedy=f"{remedy}. Nothing was sent to it",
            )
    return None


def may_be_another(url: str) -> bool:
    """Whether whoever answers elsewhere on the network is taken for the server of a URL.

    A socket in the file system and this machine's own addresses lead nowhere else. A URL that
    cannot be parsed is told of by whoever connects with it.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    if (given.get("sslmode") or os.environ.get("PGSSLMODE")) == _VERIFIES:
        return False
    # libpq's own default: sslrootcert=system allows no other mode.
    if given.get("sslrootcert") == "system" and "sslmode" not in given:
        return False
    places = given.get("hostaddr") or given.get("host") or os.environ.get("PGHOST") or ""
    return not all(_is_here(place) for place in str(places).split(","))


def _is_here(place: str) -> bool:
    if not place or place.startswith(("/", "@")) or place == "localhost":
        return True
    try:
        return ip_address(place.strip("[]")).is_loopback
    except ValueError:
        return False
