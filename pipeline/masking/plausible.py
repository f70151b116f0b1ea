"""What tells a real value of a kind from text that only looks like it: ranges, check digits."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

# Issuer prefixes and lengths: ISO/IEC 7812 numbers as the card schemes publish them.
_CARDS: Final = (
    (re.compile("4"), {13, 16, 19}),  # Visa
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),  # Mastercard
    (re.compile("3[47]"), {15}),  # American Express
    (re.compile("6011|64[4-9]|65"), {16, 19}),  # Discover
    (re.compile("30[0-5]|309|36|3[89]"), {14, 16, 19}),  # Diners Club
    (re.compile("35(?:2[89]|[3-8])"), {16, 19}),  # JCB
    (re.compile("62|81"), {16, 17, 18, 19}),  # UnionPay
    (re.compile("50(?:18|20|38)|5893|6304|67(?:59|6[1-3])"), {13, 16, 18, 19}),  # Maestro
)
_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_NINO_PREFIX: Final = re.compile("(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]")
# From 20 on the month is not known.
_NIR_MONTHS: Final = {*range(1, 13), *range(20, 43), *range(50, 100)}
# The dihedral group of ten elements and the permutation of Verhoeff's scheme (1969).
_DIHEDRAL: Final = (
    *("0123456789", "1234067895", "2340178956", "3401289567", "4012395678"),
    *("5987604321", "6598710432", "7659821043", "8765932104", "9876543210"),
)
_PERMUTATION: Final = "1576283094"
# Of a decimal or a pair of coordinates, as in +37.7749-122.4194 (ISO 6709).
_DECIMAL: Final = re.compile(r"(?:\+|%2B)[0-9]{1,3}\.[0-9]+(?:[+-][0-9]{1,3}\.[0-9]+)?")
_FILES: Final = ("css", "gif", "gz", "jpeg", "jpg", "js", "png", "svg", "tgz", "webp", "zip")
_LONG_GROUP: Final = 3


def is_ipv4(text: str) -> bool:
    """A host's address; this machine (0, 127), masks (255) and versions (1.0.0.0) are none."""
    octets = text.split(".")
    return (
        all(int(octet) < 256 and str(int(octet)) == octet for octet in octets)  # noqa: PLR2004 - of a byte
        and octets[0] not in {"0", "127", "255"}
        and octets[2:] != ["0", "0"]
    )


def is_ipv6(text: str) -> bool:
    """A host's address; `::1`, `a::b` of a program, and pairs as in EUI-64 are none."""
    groups = [group for group in text.split(":") if group]
    if not any(len(group) >= _LONG_GROUP for group in groups):
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return any(letter.isdigit() for letter in text)


def is_email(text: str) -> bool:
    """An e-mail address; `icon@2x.png` is none."""
    return not text.lower().endswith(_FILES)


def is_international(text: str) -> bool:
    """A number with its country; a decimal with a sign is none."""
    return not _DECIMAL.fullmatch(text)


def is_american(text: str) -> bool:
    """A number of the North American plan: area and exchange begin with 2 to 9, dots are paired."""
    number = digits(text)[-10:]
    return number[0] > "1" and number[3] > "1" and number[1:3] != "11" and text.count(".") != 1


def digits(text: str) -> str:
    """The decimal digits of a text, without what separates them."""
    return "".join(letter for letter in text if letter in "0123456789")


def is_card(text: str) -> bool:
    """A card number: a scheme's prefix and length, and Luhn's check digit (ISO/IEC 7812-1)."""
    number = digits(text)
    return any(
        len(number) in lengths and prefix.match(number) for prefix, lengths in _CARDS
    ) and _luhn(number)


def is_ssn(text: str) -> bool:
    """A social security number of the United States that could have been issued."""
    number = digits(text)
    area, group, serial = number[:3], number[3:5], number[5:]
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def is_nino(text: str) -> bool:
    """A national insurance number of the United Kingdom, by the prefixes that are in use."""
    return _NINO_PREFIX.match(text.upper()) is not None


def is_cpf(text: str) -> bool:
    """A taxpayer number of Brazil: two check digits, modulo 11."""
    number = digits(text)
    return len(set(number)) > 1 and all(
        number[length] == str(_weighed(number[:length], range(length + 1, 1, -1)) * 10 % 11 % 10)
        for length in (9, 10)
    )


def is_nir(text: str) -> bool:
    """A social security number of France: a month that exists, and a key modulo 97."""
    number = text.replace(" ", "").upper()
    # Corsica's departments hold a letter.
    plain = number.replace("2A", "19").replace("2B", "18")
    return (
        number[0] in "123478"
        and int(number[3:5]) in _NIR_MONTHS
        and int(plain[13:]) == 97 - int(plain[:13]) % 97
    )


def is_dni(text: str) -> bool:
    """A DNI or NIE of Spain: the letter is the number modulo 23."""
    number = text.upper().replace("-", "")
    plain = number[:-1].translate(str.maketrans("XYZ", "012"))
    return number[-1] == _DNI_LETTERS[int(plain) % len(_DNI_LETTERS)]


def is_aadhaar(text: str) -> bool:
    """An Aadhaar number of India: Verhoeff's check digit."""
    row = tuple(range(10))
    total = 0
    for letter in reversed(digits(text)):
        total = int(_DIHEDRAL[total][row[int(letter)]])
        row = tuple(int(_PERMUTATION[place]) for place in row)
    return total == 0 and text[0] > "1"


def is_tax_id(text: str) -> bool:
    """A tax id of Germany: one digit repeats among the first ten; ISO 7064, MOD 11,10."""
    number = digits(text)
    repeated = sorted(times for times in Counter(number[:10]).values() if times > 1)
    product = 10
    for letter in number[:10]:
        product = ((int(letter) + product) % 10 or 10) * 2 % 11
    return number[0] != "0" and repeated in ([2], [3]) and int(number[10]) == (11 - product) % 10


def _luhn(number: str) -> bool:
    doubled = "".join(str(int(letter) * 2) for letter in number[-2::-2])
    return sum(map(int, doubled + number[-1::-2])) % 10 == 0


def _weighed(number: str, weights: Iterable[int]) -> int:
    return sum(int(letter) * weight for letter, weight in zip(number, weights, strict=True))
