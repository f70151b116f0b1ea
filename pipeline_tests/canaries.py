"""Values that occur nowhere else, and a search for them in whatever a run may have left behind."""

import base64
import ipaddress
import json
import mmap
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote


class Canaries:
    """Devices, addresses and users that share stems, so that a few searches find all of them."""

    def __init__(self) -> None:
        self._word = f"Kq{secrets.token_hex(6)}"
        self._user = f"Uq{secrets.token_hex(6)}"
        # Letters that nothing else here is written in: four of them are as rare as a long word.
        self._tail = "".join(chr(0x12000 + secrets.randbelow(0x300)) for _ in range(4))
        # Groups without a leading zero look the same in every spelling of the address.
        self._groups = [f"{0x1000 + secrets.randbelow(0xF000 - 1):04x}" for _ in range(5)]

    def device(self, place: int) -> str:
        """A device id; the last four letters are the same for all."""
        return f"device {self._word} {place} {self._tail}"

    def address(self, place: int) -> str:
        """An IPv6 address."""
        return f"2001:db8:{':'.join(self._groups)}:{place + 1:x}"

    def user(self, place: int) -> str:
        """A user id: the contract keeps it in the table, and there only."""
        return f"{self._user}-{place}"

    def masked_needles(self) -> dict[str, bytes]:
        """What must be nowhere, by the name of the encoding."""
        address = ":".join(self._groups)
        packed = b"".join(bytes.fromhex(group) for group in self._groups)
        needles = {f"device, {name}": each for name, each in _encodings(self._word.encode())}
        needles |= {f"address, {name}": each for name, each in _encodings(address.encode())}
        needles |= {f"packed address, {name}": each for name, each in _encodings(packed)}
        tail, escaped = self._tail.encode(), json.dumps(self._tail)[1:-1]
        needles |= {f"last four, {name}": each for name, each in _encodings(tail)}
        return needles | {
            "last four, UTF-16": self._tail.encode("utf-16-le"),
            "last four, escaped": escaped.encode(),
            "last four, escaped in capitals": escaped.upper().replace("\\U", "\\u").encode(),
            "last four, quoted": quote(self._tail).encode(),
            "address, quoted": quote(address).encode(),
            "address, exploded": ipaddress.IPv6Address(self.address(0)).exploded[10:34].encode(),
        }

    def user_needles(self) -> dict[str, bytes]:
        """What must be nowhere but in the table."""
        return {f"user, {name}": each for name, each in _encodings(self._user.encode())}


def _encodings(value: bytes) -> Iterator[tuple[str, bytes]]:
    """The forms of a value that survive JSON and URLs as they are."""
    yield "plain", value
    yield "reversed", value[::-1]
    yield "hex", value.hex().encode()
    if value.isascii():
        yield "upper case", value.upper()
        yield "lower case", value.lower()
        yield "UTF-16", value.decode().encode("utf-16-le")
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + value)
        # The letters at both ends depend on what stands before and after the value.
        inner = encoded[4 if shift else 0 : len(encoded) - 4]
        yield f"base64, shifted by {shift}", inner
        yield f"URL-safe base64, shifted by {shift}", inner.translate(bytes.maketrans(b"+/", b"-_"))


def found_in(content: bytes | mmap.mmap, needles: dict[str, bytes]) -> list[str]:
    """The names of the needles that some bytes hold."""
    return [name for name, needle in needles.items() if content.find(needle) >= 0]


def found_under(
    folders: Iterable[Path], needles: dict[str, bytes], *, since: float = 0
) -> dict[str, list[str]]:
    """The files below some folders that hold a needle, names of files included.

    Args:
        folders: Where to search.
        needles: What to search for.
        since: Skips files that were last written before this time.
    """
    found: dict[str, list[str]] = {}
    for path in (path for folder in folders for path in folder.rglob("*")):
        names = found_in(str(path).encode(), needles)
        if path.is_file() and path.stat().st_size and path.stat().st_mtime >= since:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as view:
                names += found_in(view, needles)
        if names:
            found[str(path)] = names
    return found
