"""Asks the two services whether they answer, with nothing but the standard library."""

import http.client
import socket
import struct
from typing import Final
from urllib.parse import urlsplit

_SECONDS: Final = 5.0
# The first message of a session, without parameters but a user. A server that accepts sessions
# asks for the password ("R"); one that starts, stops or recovers refuses ("E").
# https://www.postgresql.org/docs/current/protocol-message-formats.html (StartupMessage)
_PARAMETERS: Final = b"user\0nobody\0\0"
_STARTUP: Final = struct.pack("!ii", 8 + len(_PARAMETERS), 3 << 16) + _PARAMETERS


def queue_answers(endpoint: str) -> bool:
    """Whether an HTTP server answers at the endpoint, whatever it says."""
    place = urlsplit(endpoint)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=_SECONDS)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def postgres_answers(url: str) -> bool:
    """Whether a Postgres at the URL's host and port accepts sessions."""
    place = urlsplit(url)
    try:
        address = (place.hostname or "", place.port or 0)
        with socket.create_connection(address, timeout=_SECONDS) as connection:
            connection.sendall(_STARTUP)
            return connection.recv(1_024)[:1] == b"R"
    except OSError:
        return False
