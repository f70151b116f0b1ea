"""Which addresses may be connected to: decided after the name was looked up, and then kept to.

A name that is looked up once to be checked and again to connect may lead elsewhere the second
time (DNS rebinding). Here the connection goes to the address that was checked.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Iterator

import httpcore
import httpx

from pipeline.errors import FetchError
from pipeline.produce.fetch.reach import PRIVATE, Network

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LONGEST_PATH = 512
"""Characters of an address's path and query, at most."""

_GIVEN_OUT = ipaddress.ip_network("2000::/3")  # RFC 4291: all that is global unicast
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class PublicTransport(httpx.AsyncHTTPTransport):
    """Connects to public addresses, and to private ones in networks that are named.

    TLS is always verified, against certifi's authorities or those of SSL_CERT_FILE. Proxies are
    not used: one would look the name up by itself.

    Args:
        private: The networks.
        connections: How many there may be at a time.
    """

    def __init__(self, private: tuple[Network, ...], *, connections: int) -> None:
        # In place of what httpx would put together: it takes no network backend.
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=connections,
            network_backend=_CheckedBackend(private),
        )


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, private: tuple[Network, ...]) -> None:
        self._private = private
        self._connect = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as httpcore calls it
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._look_up(host, port, timeout)
        for address in addresses:
            if not is_permitted(address, self._private):
                raise FetchError(
                    "the API's name leads to an address that is not public",
                    remedy=f"Name its network in {PRIVATE} if that is where it is to be",
                )
        error: Exception = httpcore.ConnectError()
        for address in addresses:
            try:
                return await self._connect.connect_tcp(
                    str(address), port, timeout, local_address, socket_options
                )
            except httpcore.ConnectError as refused:
                error = refused
        raise error

    async def _look_up(self, host: str, port: int, timeout: float | None) -> list[_Address]:  # noqa: ASYNC109
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        except (OSError, UnicodeError):
            raise httpcore.ConnectError from None
        # A scope, as in fe80::1%eth0, belongs to link-local addresses only.
        texts = dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found)
        return [ipaddress.ip_address(text) for text in texts]


def is_permitted(address: _Address, private: Iterable[Network]) -> bool:
    """Whether an address is public, or in one of the networks.

    An IPv6 address that stands for an IPv4 one is as public as both of them are; one that is only
    another spelling of it (::ffff:192.0.2.1) is judged as that.
    """
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return is_permitted(address.ipv4_mapped, private)
    if any(address in network for network in private):
        return True
    return all(_is_public(each) for each in _stands_for(address))


def _is_public(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and not (
        # `is_global` takes much for public that nobody was given, such as fec0::1 and ::127.0.0.1.
        address in _GIVEN_OUT or address in _NAT64
    ):
        return False
    return address.is_global and not address.is_multicast


def _stands_for(address: _Address) -> Iterator[_Address]:
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        embedded = [address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            embedded.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        yield from (each for each in embedded if each is not None)


def fails_in_tls(error: BaseException | None) -> bool:
    """Whether an error of a connection began in TLS."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def on_host(base: httpx.URL, at: httpx.URL, address: str) -> httpx.URL | None:
    """An address that upstream gave, made absolute; None where it leads off the API's host.

    Args:
        base: The API's address: its scheme, host and port are the only ones.
        at: What a relative address is relative to.
        address: What upstream gave.
    """
    try:
        url = at.join(address).copy_with(fragment=None)
        same = (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)
    except (httpx.InvalidURL, ValueError):  # httpx lets errors of idna and ipaddress out
        return None
    return url if same and not url.userinfo and len(url.raw_path) <= LONGEST_PATH else None
