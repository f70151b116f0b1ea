"""AES-SIV (RFC 5297) over many values of one length at once.

`cryptography` encrypts one value a call, and the calls are what takes the time. Here the AES is
that of `cryptography`, in a few calls for a whole column, and what the RFC puts around it is
numpy. Single values are opened with `cryptography`'s own `AESSIV`.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

from pipeline.masking.by_length import by_length

_Bytes = npt.NDArray[np.uint8]

_BLOCK = 16  # bytes
_REDUCTION = 0x87  # of the field with 2^128 elements, RFC 5297, section 2.3


def encrypt_all(key: bytes, associated: Sequence[bytes], plain: Sequence[bytes]) -> list[bytes]:
    """Encrypts each value under the same key and associated data.

    Args:
        key: 32, 48 or 64 bytes: the one half authenticates, the other encrypts.
        associated: The components of the associated data.
        plain: Values of at least one byte; those of one length are encrypted together.

    Returns:
        For each the synthetic IV of 16 bytes and the ciphertext.
    """
    return by_length(plain, partial(_encrypt_alike, key, associated))


def _encrypt_alike(key: bytes, associated: Sequence[bytes], values: Sequence[bytes]) -> list[bytes]:
    plain = np.frombuffer(b"".join(values), np.uint8).reshape(len(values), -1)
    half = len(key) // 2
    tags = _synthetic_ivs(key[:half], associated, plain)
    rows = np.hstack([tags, plain ^ _keystream(key[half:], tags, plain.shape[1])])
    content, width = rows.tobytes(), rows.shape[1]
    return [content[at : at + width] for at in range(0, len(content), width)]


def _synthetic_ivs(key: bytes, associated: Sequence[bytes], plain: _Bytes) -> _Bytes:
    """S2V, RFC 5297, section 2.4: what comes before the last component is the same for all."""
    chained = _cmac(key, bytes(_BLOCK))
    for each in associated:
        chained = _xor(_double(chained), _cmac(key, each))
    rows, length = plain.shape
    if length < _BLOCK:
        text = np.zeros((rows, _BLOCK), np.uint8)
        text[:, :length], text[:, length] = plain, 0x80
        text ^= np.frombuffer(_double(chained), np.uint8)
    else:
        text = plain.copy()
        text[:, -_BLOCK:] ^= np.frombuffer(chained, np.uint8)
    return _cmac_all(key, text)


def _cmac_all(key: bytes, text: _Bytes) -> _Bytes:
    """CMAC (RFC 4493) of each row, one block of all rows a call."""
    subkey = _double(_encrypt(key, bytes(_BLOCK)))
    rows, length = text.shape
    if excess := length % _BLOCK:
        padding = np.zeros((rows, _BLOCK - excess), np.uint8)
        padding[:, 0] = 0x80
        text, subkey = np.hstack([text, padding]), _double(subkey)
    text[:, -_BLOCK:] ^= np.frombuffer(subkey, np.uint8)
    state = np.zeros((rows, _BLOCK), np.uint8)
    for first in range(0, text.shape[1], _BLOCK):
        state = _encrypt_blocks(key, state ^ text[:, first : first + _BLOCK])
    return state


def _keystream(key: bytes, tags: _Bytes, length: int) -> _Bytes:
    """AES in counter mode, from the synthetic IV with two bits cleared (section 2.5)."""
    blocks = -(-length // _BLOCK)
    counters = np.repeat(tags[:, np.newaxis, :], blocks, axis=1)
    counters[:, :, [8, 12]] &= 0x7F
    # The cleared bit keeps the count within the last 32 bits.
    counters.view(">u4")[:, :, 3] += np.arange(blocks, dtype=np.uint32)
    stream = _encrypt_blocks(key, counters.reshape(-1, _BLOCK))
    return stream.reshape(len(tags), blocks * _BLOCK)[:, :length]


def _encrypt_blocks(key: bytes, blocks: _Bytes) -> _Bytes:
    return np.frombuffer(_encrypt(key, blocks.tobytes()), np.uint8).reshape(blocks.shape)


def _encrypt(key: bytes, blocks: bytes) -> bytes:
    # The bare block cipher is the part that SIV is made of, not a mode for data.
    encrypted: bytes = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)  # noqa: S305  # nosec B305
    return encrypted


def _cmac(key: bytes, content: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(content)
    tag: bytes = mac.finalize()
    return tag


def _double(block: bytes) -> bytes:
    doubled = int.from_bytes(block) << 1
    carry = doubled >> (8 * _BLOCK)
    return ((doubled ^ carry * _REDUCTION) & ((1 << 8 * _BLOCK) - 1)).to_bytes(_BLOCK)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))
