"""Addresses that stay addresses: networks for statistics, or others that the key turns back."""

import ipaddress
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import KeyringError, TokenError
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import IpCrypt, IpPrefix
from pipeline.types import FieldType, IpAddress, Text
from pipeline_tests.policy_cases import EXTREMES, given_key, keys_for
from pipeline_tests.samples import KEYRING, quickly

KIND: Final = IpAddress()
KEYS: Final = keys_for("address")
TWO: Final = Keyring({1: bytes(range(64)), 2: bytes(range(1, 65))}, current=2)
ADDRESSES: Final = st.ip_addresses().map(str).map(KIND.read)

# draft-denis-ipcrypt, appendix "Test Vectors": ipcrypt-deterministic.
VECTORS: Final = [
    (
        "0123456789abcdeffedcba9876543210",
        "0.0.0.0",  # noqa: S104 - a vector, nothing binds to it
        "bde9:6789:d353:824c:d7c6:f58a:6bd2:26eb",
    ),
    (
        "1032547698badcfeefcdab8967452301",
        "255.255.255.255",
        "aed2:92f6:ea23:58c3:48fd:8b8:74e8:45d8",
    ),
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "192.0.2.1",
        "1dbd:c1b9:fff1:7586:7d0b:67b4:e76e:4777",
    ),
]


def crypted(address: str, policy: IpCrypt = IpCrypt(), keyring: Keyring = KEYRING) -> str:  # noqa: B008 - it is frozen
    (other,) = policy.mask([address], KIND, keys_for("address", keyring))
    return str(other)


def network(address: str, v4: int = 24, v6: int = 48) -> str:
    (masked,) = IpPrefix(v4, v6).mask([address], KIND, KEYS)
    return str(masked)


@pytest.mark.parametrize(("key", "address", "other"), VECTORS)
def test_the_vectors_of_the_draft_hold_both_ways(key: str, address: str, other: str) -> None:
    keys = given_key(bytes.fromhex(key))
    assert IpCrypt().mask([address], KIND, keys) == [other]
    assert IpCrypt().open(other, KIND, keys) == address


@quickly
@given(st.lists(ADDRESSES, unique=True, max_size=8))
def test_an_address_becomes_another_valid_one_and_comes_back(addresses: list[str]) -> None:
    others = [str(each) for each in IpCrypt().mask(addresses, KIND, KEYS)]
    assert [KIND.read(other) for other in others] == others
    assert len({*others}) == len(addresses)
    assert [IpCrypt().open(other, KIND, KEYS) for other in others] == addresses


@pytest.mark.parametrize("raw", EXTREMES["address"])
def test_the_oddest_addresses_come_back(raw: str) -> None:
    address = KIND.read(raw)
    assert IpCrypt().open(crypted(address), KIND, KEYS) == address


def test_the_version_of_an_address_is_the_contracts_and_not_the_keyrings() -> None:
    """A new version of the keyring leaves the column joinable: an address has no room for it."""
    assert crypted("10.0.0.1", keyring=TWO) == crypted("10.0.0.1")
    second = crypted("10.0.0.1", IpCrypt(key_version=2), TWO)
    assert second != crypted("10.0.0.1")
    assert IpCrypt(key_version=2).open(second, KIND, keys_for("address", TWO)) == "10.0.0.1"
    with pytest.raises(KeyringError, match="no version 2"):
        crypted("10.0.0.1", IpCrypt(key_version=2))


@pytest.mark.parametrize("text", ["", "canary", "10.0.0", "fe80::1%eth0", "::1/64", "::1\0", "é"])
def test_what_is_no_address_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(TokenError) as caught:
        IpCrypt().open(text, KIND, KEYS)
    error = caught.value
    assert not text or text not in f"{error!r} {error.args}"
    assert error.__suppress_context__


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("0.0.0.0", "0.0.0.0/24"),  # noqa: S104 - an address as any other
        ("::1", "::/48"),
        ("::1.2.3.4", "::/48"),
        ("1:0:2:3:4:5:6:7", "1:0:2::/48"),
    ],
)
def test_an_address_becomes_its_network(address: str, shown: str) -> None:
    assert network(address) == shown


@quickly
@given(ADDRESSES, st.integers(0, 32), st.integers(0, 128))
def test_a_network_is_the_librarys_for_every_length(address: str, v4: int, v6: int) -> None:
    length = v6 if ":" in address else v4
    wanted = ipaddress.ip_network(f"{address}/{length}", strict=False)
    assert ipaddress.ip_network(network(address, v4, v6)) == wanted
    assert network(address, v4, v6).rpartition("/")[2] == str(length)


@quickly
@given(ADDRESSES)
def test_the_network_of_a_networks_first_address_is_itself(address: str) -> None:
    masked = network(address)
    assert network(masked.partition("/")[0]) == masked


def test_neighbours_share_a_network() -> None:
    assert len({network(f"203.0.113.{last}") for last in range(256)}) == 1
    assert len({network(f"2001:db8:1:{last:x}::{last:x}") for last in range(256)}) == 1


@pytest.mark.parametrize(
    ("policy", "kind", "personal", "rule"),
    [
        (IpPrefix(), Text(45), False, "for the type IpAddress"),
        (IpCrypt(), Text(45), False, "for the type IpAddress"),
        (IpCrypt(key_version=0), KIND, False, "key_version is at least 1"),
        (IpPrefix(v4=33), KIND, False, "v4 is between 0 and 32"),
        (IpPrefix(v4=-1), KIND, False, "v4 is between 0 and 32"),
        (IpPrefix(v6=129), KIND, False, "v6 between 0 and 128"),
        (IpPrefix(v6=-1), KIND, False, "v6 between 0 and 128"),
        (IpPrefix(v4=25), KIND, True, "of a personal address at most 24 bits"),
        (IpPrefix(v6=65), KIND, True, "(IPv6: 64) stay"),
    ],
)
def test_a_prefix_that_is_none_or_hides_nothing_is_refused(
    *, policy: IpPrefix | IpCrypt, kind: FieldType, personal: bool, rule: str
) -> None:
    assert rule in str(policy.problem(kind, personal=personal))


def test_a_whole_address_may_be_its_network_where_it_is_nobodys() -> None:
    assert IpPrefix(32, 128).problem(KIND, personal=False) is None
    assert network("10.0.0.1", 32) == "10.0.0.1/32"
