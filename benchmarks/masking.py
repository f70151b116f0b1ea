"""Masking the two fields of a login beside the bare algorithm, row by row and in a plain loop.

All mask the same values in turn, in one process. The bare ones get their key once and each value
as the bytes that they encrypt or digest, and leave the result as bytes; `mask` takes the batch as
it was decoded, and ends with pseudonyms as they are stored. The rates are those of this machine at
this moment; the ratios are what counts.
"""

import hashlib
import hmac
import ipaddress
import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated

import pandas as pd
import typer
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from pipeline import feeds
from pipeline.contract import Feed, Field
from pipeline.masking.canonical import normalised, pack
from pipeline.masking.keyring import FieldKeys, Keyring
from pipeline.masking.mask import mask
from pipeline.masking.policies import Encrypt, Policy, Pseudonymize
from pipeline.types import FieldType

_KEYRING = Keyring({1: bytes(range(64))}, current=1)
_SEED = 20_240_229
_DEVICES = 10**9  # nine digits

Algorithm = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Bare:
    """An algorithm without anything around it.

    Attributes:
        name: What it is called in the figures.
        packed: Values as the bytes that it takes.
        keyed: The algorithm under the keys of a field.
    """

    name: str
    packed: Callable[[list[object], FieldType], list[bytes]]
    keyed: Callable[[FieldKeys], Algorithm]


def masking(
    rows: Annotated[int, typer.Option(help="Rows; each has two values.")] = 200_000,
    rounds: Annotated[int, typer.Option(help="Rounds; the medians count.")] = 5,
) -> None:
    """Mask address and device id of made-up logins, and do the bare part alone."""
    for share, distinct in (("1 % distinct", max(rows // 100, 1)), ("all distinct", rows)):
        logins = _logins(rows, distinct)
        for policy, bares in _POLICIES.items():
            print(f"{policy.name}, {share}: {logins.size:,} values, medians of {rounds} rounds")
            _compare(_feed(policy), logins, bares, rounds)


def _compare(feed: Feed, logins: pd.DataFrame, bares: tuple[Bare, ...], rounds: int) -> None:
    own: list[float] = []
    others: dict[str, list[float]] = {}
    for _ in range(rounds):  # in turn, so that what else the machine does hits all of them
        own.append(_timed(partial(mask, feed, _as_decoded(logins), _KEYRING)))
        for bare in bares:
            for way, work in (("apply", _apply), ("loop", _loop)):
                columns = [_prepared(bare, each, logins[each.name]) for each in feed.columns]
                seconds = _timed(partial(work, columns))
                others.setdefault(f"{bare.name}, {way}", []).append(seconds)
    print(f"  {'mask':24} {logins.size / statistics.median(own) / 1e6:6.2f} M values/s")
    for name, times in others.items():
        rate = logins.size / statistics.median(times) / 1e6
        ratio = statistics.median(other / mine for other, mine in zip(times, own, strict=True))
        print(f"  {name:24} {rate:6.2f} M values/s   mask is {ratio:5.2f} times as fast")


def _prepared(bare: Bare, field: Field, values: pd.Series) -> tuple[pd.Series, Algorithm]:
    algorithm = bare.keyed(_KEYRING.field_keys("user_logins", field.path))
    return pd.Series(bare.packed(values.tolist(), field.type), dtype=object), algorithm


def _apply(columns: Iterable[tuple[pd.Series, Algorithm]]) -> list[pd.Series]:
    return [values.apply(algorithm) for values, algorithm in columns]


def _loop(columns: Iterable[tuple[pd.Series, Algorithm]]) -> list[list[bytes]]:
    return [[algorithm(value) for value in values] for values, algorithm in columns]


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _feed(policy: Policy) -> Feed:
    """The two masked fields of the logins, under a policy."""
    feed = feeds.find("user_logins")
    masked = (each for each in feed.columns if each.path in {"ip", "device_id"})
    return replace(feed, fields=tuple(replace(each, policy=policy) for each in masked))


def _logins(rows: int, distinct: int) -> pd.DataFrame:
    """Addresses and device ids, so many distinct of each."""
    chance = random.Random(_SEED)  # noqa: S311 - figures that can be repeated, no secrets
    addresses = [str(ipaddress.IPv4Address(n)) for n in chance.sample(range(2**32), distinct)]
    devices = [f"{n:011_}".replace("_", "-") for n in chance.sample(range(_DEVICES), distinct)]
    places = [*range(distinct), *chance.choices(range(distinct), k=rows - distinct)]
    chance.shuffle(places)
    columns = {
        "masked_ip": [addresses[place] for place in places],
        "masked_device_id": [devices[place] for place in places],
    }
    return pd.DataFrame(columns, dtype=object)


def _as_decoded(logins: pd.DataFrame) -> pd.DataFrame:
    """The same, each value a string of its own whose hash is not known yet."""
    return pd.DataFrame(
        {name: [value.encode().decode() for value in logins[name]] for name in logins},
        dtype=object,
    )


def _siv(keys: FieldKeys) -> Algorithm:
    encrypt = AESSIV(keys.secret("encrypt", version=1, length=64)).encrypt
    return partial(encrypt, associated_data=[keys.feed.encode(), keys.field.encode(), b"1"])


def _digest(keys: FieldKeys) -> Algorithm:
    return partial(hmac.digest, keys.secret("field", version=1), digest="sha256")


def _copied(keys: FieldKeys) -> Algorithm:
    keyed = hmac.new(keys.secret("field", version=1), digestmod=hashlib.sha256)

    def digest(value: bytes) -> bytes:
        state = keyed.copy()
        state.update(value)
        return state.digest()

    return digest


def _texts(values: list[object], _kind: FieldType) -> list[bytes]:
    return normalised(values)


_POLICIES: dict[Policy, tuple[Bare, ...]] = {
    Encrypt(): (Bare("AESSIV", pack, _siv),),
    Pseudonymize(): (
        Bare("hmac.digest", _texts, _digest),
        Bare("hmac, keyed once", _texts, _copied),
    ),
}
