"""AES-SIV over a whole column is RFC 5297's, to the last byte."""

from typing import Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from pipeline.masking.siv import encrypt_all
from pipeline_tests.samples import quickly

# RFC 5297, appendix A: key, associated data (the nonce is the last of them), plain, encrypted.
VECTORS: Final = {
    "A.1 deterministic": (
        "fffefdfc fbfaf9f8 f7f6f5f4 f3f2f1f0 f0f1f2f3 f4f5f6f7 f8f9fafb fcfdfeff",
        ["10111213 14151617 18191a1b 1c1d1e1f 20212223 24252627"],
        "11223344 55667788 99aabbcc ddee",
        "85632d07 c6e8f37f 950acd32 0a2ecc93 40c02b96 90c4dc04 daef7f6a fe5c",
    ),
    "A.2 with a nonce": (
        "7f7e7d7c 7b7a7978 77767574 73727170 40414243 44454647 48494a4b 4c4d4e4f",
        [
            "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
            "10203040 50607080 90a0",
            "09f91102 9d74e35b d84156c5 635688c0",
        ],
        b"this is some plaintext to encrypt using SIV-AES".hex(),
        (
            "7bdb6e3b432667eb06f4d14bff2fbd0f cb900f2fddbe404326601965c889bf17"
            "dba77ceb094fa663b7a3f748ba8af829 ea64ad544a272e9c485b62a3fd5c0d"
        ),
    ),
}
KEYS: Final = st.sampled_from([32, 48, 64]).flatmap(lambda n: st.binary(min_size=n, max_size=n))
ASSOCIATED: Final = st.lists(st.binary(max_size=40), max_size=4)
PLAIN: Final = st.integers(1, 200).flatmap(lambda n: st.binary(min_size=n, max_size=n))


@pytest.mark.parametrize(("key", "associated", "plain", "encrypted"), VECTORS.values(), ids=VECTORS)
def test_the_vectors_of_the_rfc_hold(
    key: str, associated: list[str], plain: str, encrypted: str
) -> None:
    components = [bytes.fromhex(each) for each in associated]
    (made,) = encrypt_all(bytes.fromhex(key), components, [bytes.fromhex(plain)])
    assert made == bytes.fromhex(encrypted)


@quickly
@given(KEYS, ASSOCIATED, st.lists(PLAIN, max_size=6))
def test_every_value_comes_out_as_the_library_encrypts_it_alone_and_in_order(
    key: bytes, associated: list[bytes], plain: list[bytes]
) -> None:
    alone = [AESSIV(key).encrypt(each, associated) for each in plain]
    assert encrypt_all(key, associated, plain) == alone


@pytest.mark.parametrize("size", [32, 48, 64])
def test_every_length_up_to_200_bytes_is_the_librarys(size: int) -> None:
    key, associated = bytes(range(size)), [b"feed", b"field", b"1"]
    # The longest first, and each twice: places and lengths do not go together.
    plain = [bytes([length]) * length for length in (*range(200, 0, -1), *range(1, 201))]
    alone = [AESSIV(key).encrypt(each, associated) for each in plain]
    assert encrypt_all(key, associated, plain) == alone


def test_a_counter_whose_last_bits_are_all_set_does_not_spill() -> None:
    """The bits that the RFC clears: in a few thousand values each of the two was set."""
    key = bytes(64)
    plain = [place.to_bytes(4).ljust(64, b"\1") for place in range(2_000)]
    library = AESSIV(key)
    assert encrypt_all(key, [], plain) == [library.encrypt(each, []) for each in plain]


def test_nothing_is_encrypted_to_nothing() -> None:
    assert encrypt_all(bytes(64), [b"feed"], []) == []
