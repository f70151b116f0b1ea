"""Addresses that stay addresses: as networks, or as other addresses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pipeline.errors import TokenError
from pipeline.masking.canonical import pack_address, unpack_address
from pipeline.masking.keyring import FieldKeys
from pipeline.types import FieldType, IpAddress

_MAPPED = bytes(10) + b"\xff\xff"  # IPv4 as IPv6, RFC 4291, section 2.5.5.2
_WIDTH = 16  # bytes
_NO_ADDRESS = "policy: for the type IpAddress"


@dataclass(frozen=True, slots=True)
class IpPrefix:
    """The address becomes its network: enough for statistics, and shared by many.

    Attributes:
        v4: Bits of an IPv4 address that stay.
        v6: Bits of an IPv6 address that stay; 48 are what one customer is usually given.
    """

    v4: int = 24
    v6: int = 48
    name: ClassVar[str] = "ip_prefix"

    @property
    def pattern(self) -> str:
        """A network of the declared length."""
        return rf"[0-9.]+/{self.v4}|[0-9a-f:.]+/{self.v6}"

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - addresses only
        """Cidr."""
        return "cidr"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - needs no key
        """The network of each address, such as `203.0.113.0/24`."""
        return [self._network(pack_address(str(value))) for value in values]

    def _network(self, packed: bytes) -> str:
        length = self.v6 if len(packed) == _WIDTH else self.v4
        hidden = 8 * len(packed) - length
        number = int.from_bytes(packed) >> hidden << hidden
        return f"{unpack_address(number.to_bytes(len(packed)))}/{length}"

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:
        """Not an address, or a prefix that is none; a personal one has to hide something."""
        if not isinstance(kind, IpAddress):
            return _NO_ADDRESS
        if not (0 <= self.v4 <= 32 and 0 <= self.v6 <= 128):  # noqa: PLR2004 - bits of an address
            return "policy: v4 is between 0 and 32, v6 between 0 and 128"
        if personal and (self.v4 > 24 or self.v6 > 64):  # noqa: PLR2004 - see the message
            return "policy: of a personal address at most 24 bits (IPv6: 64) stay"
        return None


@dataclass(frozen=True, slots=True)
class IpCrypt:
    """The address becomes another valid one, always the same, that the key turns back.

    `ipcrypt-deterministic` of draft-denis-ipcrypt: AES-128 over the 16 bytes of the address, IPv4
    mapped into IPv6. What comes out is, but for one in 2^96, an IPv6 address.

    Attributes:
        key_version: The version of the key. An address has no room for it, so the contract says
            it, and rotation leaves the column alone.
    """

    key_version: int = 1
    name: ClassVar[str] = "ip_crypt"
    pattern: ClassVar[str] = r"[0-9a-f:]*:[0-9a-f:]*"

    def sql(self, kind: FieldType) -> str:
        """As an address that is kept."""
        return kind.sql

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - addresses only
        """The other address of each."""
        plain = b"".join(_widened(pack_address(str(value))) for value in values)
        sealed = self._cipher(keys).encryptor().update(plain)
        return [_spelt(sealed[at : at + _WIDTH]) for at in range(0, len(sealed), _WIDTH)]

    def open(self, token: str, kind: FieldType, keys: FieldKeys) -> str:  # noqa: ARG002 - addresses only
        """The address behind another one; there is no telling whether it was ever masked.

        Raises:
            TokenError: It is no address.
        """
        try:
            sealed = _widened(pack_address(token))
        except (OSError, ValueError):
            raise TokenError("this is no address", remedy="Copy one from the table") from None
        return _spelt(self._cipher(keys).decryptor().update(sealed))

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - right for anybody's
        """Not an address, or a version that no keyring has."""
        if not isinstance(kind, IpAddress):
            return _NO_ADDRESS
        return None if self.key_version >= 1 else "policy: key_version is at least 1"

    def _cipher(self, keys: FieldKeys) -> Cipher[modes.ECB]:
        key = keys.secret("ip_crypt", version=self.key_version, length=16)
        # One block an address, and equal ones are to come out equal: the draft asks for no mode.
        return Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # nosec B305


def _widened(packed: bytes) -> bytes:
    return packed if len(packed) == _WIDTH else _MAPPED + packed


def _spelt(content: bytes) -> str:
    return unpack_address(content.removeprefix(_MAPPED))
