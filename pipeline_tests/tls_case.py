"""TLS before the embedded Postgres, whose build has none of its own."""

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

_SSL_REQUEST: Final = struct.pack("!ii", 8, 80877103)  # as the protocol's manual has it
_CLEARTEXT: Final = b"R" + struct.pack("!ii", 8, 3)
_Serve = Callable[[ssl.SSLSocket], None]
_WAIT: Final = 10.0  # seconds, for a test that has gone wrong


@contextlib.contextmanager
def tls_before(url: str, context: ssl.SSLContext) -> Iterator[int]:
    """The port of a server that speaks TLS, and passes on what is said to a plain one.

    Args:
        url: The plain one.
        context: The certificate that it shows.
    """
    target = urlsplit(url)
    place = (target.hostname or "", target.port or 5432)

    def serve(client: ssl.SSLSocket) -> None:
        with socket.create_connection(place, timeout=_WAIT) as server:
            _pass_on(client, server)

    with _serving(context, serve) as port:
        yield port


@contextlib.contextmanager
def asking_for_passwords(context: ssl.SSLContext, heard: list[bytes]) -> Iterator[int]:
    """The port of a server that asks whoever comes for the password itself, and writes it down."""

    def serve(client: ssl.SSLSocket) -> None:
        client.recv(65_536)  # who comes, and to which database
        client.sendall(_CLEARTEXT)
        heard.append(client.recv(65_536))

    with _serving(context, serve) as port:
        yield port


@contextlib.contextmanager
def _serving(context: ssl.SSLContext, serve: _Serve) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, context, serve))
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join(timeout=_WAIT)


def _accept(listener: socket.socket, context: ssl.SSLContext, serve: _Serve) -> None:
    threads = list[threading.Thread]()
    with contextlib.suppress(OSError):  # the test is over
        while True:
            client, _ = listener.accept()
            threads.append(threading.Thread(target=_talk, args=(client, context, serve)))
            threads[-1].start()
    for each in threads:
        each.join(timeout=_WAIT)


def _talk(plain: socket.socket, context: ssl.SSLContext, serve: _Serve) -> None:
    plain.settimeout(_WAIT)
    # A client that does not like the certificate hangs up: that is what is tested.
    with plain, contextlib.suppress(OSError):
        if plain.recv(8) != _SSL_REQUEST:
            return
        plain.sendall(b"S")
        with context.wrap_socket(plain, server_side=True) as client:
            serve(client)


def _pass_on(client: ssl.SSLSocket, server: socket.socket) -> None:
    other: dict[socket.socket, socket.socket] = {client: server, server: client}
    with selectors.DefaultSelector() as waiting:
        for each in other:
            waiting.register(each, selectors.EVENT_READ, data=each)
        while ready := waiting.select(_WAIT):
            for key, _ in ready:
                # A TLS record is at most 16 KiB: nothing stays behind in it.
                heard = key.data.recv(65_536)
                if not heard:
                    return
                other[key.data].sendall(heard)
