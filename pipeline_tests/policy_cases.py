"""Every masking policy on every type that it is for, as one feed, and values of each type."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

import pandas as pd
from hypothesis import strategies as st

from pipeline.contract import Feed, Field
from pipeline.masking.keyring import FieldKeys, Keyring
from pipeline.masking.policies import (
    Drop,
    Encrypt,
    Generalize,
    IpCrypt,
    IpPrefix,
    Keep,
    Last,
    Policy,
    Pseudonymize,
    Redact,
    Vault,
)
from pipeline.types import (
    Boolean,
    Date,
    FieldType,
    Integer,
    IpAddress,
    Number,
    Scalar,
    Text,
    Timestamp,
    Version,
)
from pipeline_tests.samples import KEYRING

KINDS: Final[dict[str, FieldType]] = {
    "text": Text(50),
    "short": Text(64, max_bytes=128),
    "integer": Integer(),
    "number": Number(),
    "boolean": Boolean(),
    "timestamp": Timestamp(),
    "date": Date(),
    "version": Version(digits=4),
    "address": IpAddress(),
}
"""A type of each kind; the second text fits a token of 256 characters."""

FITS: Final[dict[Policy, set[str]]] = {
    Keep(reason="a test"): {*KINDS},
    Drop(): {*KINDS},
    Redact(): {*KINDS},
    Pseudonymize(): {*KINDS},
    Encrypt(): {*KINDS},
    Vault(): {*KINDS},
    Last(): {"text", "short"},
    Last(8): {"text", "short"},
    Generalize("month"): {"date", "timestamp"},
    Generalize("year"): {"date", "timestamp"},
    Generalize(10): {"integer", "number"},
    Generalize(0.1): {"number"},
    IpPrefix(): {"address"},
    IpPrefix(0, 0): {"address"},
    IpPrefix(9, 61): {"address"},
    IpCrypt(): {"address"},
}
"""Each policy, and the names of the types that it is for."""

EVERY_POLICY: Final = Feed(
    name="masked",
    description="Each policy on each type that it is for: many columns of one path.",
    queue="masked",
    table="masked",
    fields=tuple(
        Field(name, KINDS[name], policy, column=f"c{place}_{name}", personal=True, nullable=True)
        for place, (policy, names) in enumerate(FITS.items())
        for name in sorted(names)
    ),
)
"""A feed that masks each value in every way there is."""

SOUND: Final = st.characters(codec="utf-8", exclude_characters="\0")
"""Whatever character a text may hold."""

# Characters that normal form C composes, takes apart, or keeps apart.
_ODD: Final = st.sampled_from("e\u0301a\u0308\ufb2c\U0001d160\u1100\u1161\u11a8🎉Å\u212b ")

RAW: Final[dict[str, st.SearchStrategy[object]]] = {
    "text": st.text(SOUND | _ODD, max_size=50),
    "short": st.text(SOUND | _ODD, max_size=10),
    "integer": st.integers(-(2**63), 2**63 - 1) | st.integers(-2, 2),
    "number": st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 1.0]),
    "boolean": st.booleans(),
    "timestamp": st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
    "date": st.dates().map(str),
    "version": st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,4}){0,2}", fullmatch=True),
    "address": st.ip_addresses().map(str),
}
"""Values of each type, as they come in messages."""

ROWS: Final = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, values in RAW.items()}), max_size=4
)
"""A few raw rows, a value of each type in each."""

EXTREMES: Final[dict[str, list[object]]] = {
    "text": [
        "",
        " ",
        "a",
        "\n\n\n\n",
        "\\",
        "****",
        *("🎉\ufb2c\U0001d160"[i] * 50 for i in range(3)),
    ],
    "short": ["", "\t", "🎉" * 32, "a" * 64, "é" * 64, "\U0001d160" * 10],
    "integer": [-(2**63), 2**63 - 1, -1, 0, 9, 10],
    "number": [1.7976931348623157e308, -1.7976931348623157e308, 5e-324, -5e-324, 0.5, -0.3, 1e22],
    "boolean": [True, False],
    "timestamp": ["0001-01-01T00:00:00.000001Z", "9999-12-31T23:59:59.999999Z"],
    "date": ["0001-01-01", "9999-12-31", "2024-02-29"],
    "version": ["0", "9999.9999.9999"],
    "address": [
        *(
            "0.0.0.0",  # noqa: S104 - an address as any other
            "255.255.255.255",
            "::",
            "::1",
            "::1.2.3.4",
            "::ffff:1.2.3.4",
            "64:ff9b::1.2.3.4",
        ),
        *("1:0:2:3:4:5:6:7", "1:0:0:2:0:0:0:3", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ],
}
"""The longest, the shortest and the oddest values of each type, as they come in messages."""


def canonical(name: str, raw: object) -> Scalar | None:
    """A value as the decoder leaves it."""
    return None if raw is None else KINDS[name].read(raw)


def batch(rows: Sequence[Mapping[str, object]], feed: Feed = EVERY_POLICY) -> pd.DataFrame:
    """Rows of canonical values, by path, as the frame that is to be masked."""
    content = [[row.get(each.path) for each in feed.fields] for row in rows]
    return pd.DataFrame(content, columns=[each.name for each in feed.fields], dtype=object)


def keys_for(name: str, keyring: Keyring = KEYRING) -> FieldKeys:
    """The keys of the field of that type."""
    return keyring.field_keys(EVERY_POLICY.name, name)


def given_key(secret: bytes) -> FieldKeys:
    """Keys of a field that are all one secret: a published test vector's."""

    class Given(FieldKeys):
        def secret(self, purpose: str, *, version: int, length: int = 32) -> bytes:  # noqa: ARG002 - the same for all
            return secret

    return Given(KEYRING, "feed", "field")


def as_text(value: object) -> str:
    """A masked value as Postgres writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    assert isinstance(value, str | int | float | date)
    return str(value)
