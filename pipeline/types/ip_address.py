"""Addresses of the Internet Protocol."""

import ipaddress
import socket
from dataclasses import dataclass

from pipeline.reasons import Reason, Refused

_MAPPED_IPV4 = bytes(10) + b"\xff\xff"  # RFC 4291, section 2.5.5.2


@dataclass(frozen=True, slots=True)
class IpAddress:
    """An IPv4 or IPv6 address, in any spelling; private and reserved ones too.

    Canonical form: dotted quad for IPv4 and for IPv4 mapped into IPv6, RFC 5952 for IPv6, so
    that two spellings of one address end in one pseudonym.
    """

    @property
    def sql(self) -> str:
        """Wide enough for the longest spelling of an IPv6 address."""
        return "varchar(45)"

    def read(self, value: object) -> str:
        """The address in canonical form."""
        if not isinstance(value, str):
            raise Refused(Reason.WRONG_TYPE)
        try:
            # inet_pton accepts the dotted quad only as it is canonically spelt.
            socket.inet_pton(socket.AF_INET, value)
        except (OSError, ValueError):
            return _canonical_ipv6(value)
        return value

    def problem(self) -> str | None:
        """Nothing can be wrong."""
        return None

    def json_schema(self) -> dict[str, object]:
        """A string that is an address of either kind."""
        return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


def _canonical_ipv6(value: str) -> str:
    try:
        packed = socket.inet_pton(socket.AF_INET6, value)
    except (OSError, ValueError):
        raise Refused(Reason.BAD_ADDRESS) from None
    if packed.startswith(_MAPPED_IPV4):
        return socket.inet_ntop(socket.AF_INET, packed[len(_MAPPED_IPV4) :])
    return str(ipaddress.IPv6Address(packed))
