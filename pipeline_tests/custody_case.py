"""What the tests of unmasking, forgetting and rotating share: a feed, its warehouse, its keys."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pipeline.consume.load import Load
from pipeline.consume.settlement import decode_batch
from pipeline.contract import Feed, Field
from pipeline.masking.key_file import KeyFile
from pipeline.masking.keyring import Keyring
from pipeline.masking.mask import mask
from pipeline.masking.policies import Encrypt, IpCrypt, Keep, Pseudonymize, Vault
from pipeline.masking.vault import seal
from pipeline.resources.outside import Outside
from pipeline.resources.sqs_client import Endpoint
from pipeline.types import Integer, IpAddress, Text
from pipeline.warehouse.audit import Request
from pipeline_tests.access_case import member_of
from pipeline_tests.load_case import prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import message

ORDERS: Final = Feed(
    name="orders",
    description="A column of each policy whose pseudonyms lead back, and of some others.",
    queue="orders-queue",
    table="shop.orders",
    fields=(
        Field("id", Integer(), Keep()),
        Field("email", Text(40), Vault(), column="customer", personal=True),
        Field("phone", Text(40), Encrypt(), personal=True, nullable=True),
        Field("ip", IpAddress(), IpCrypt(), personal=True, nullable=True),
        Field("ip", IpAddress(), Encrypt(), column="sealed_ip", personal=True, nullable=True),
        Field("name", Text(40), Pseudonymize(), personal=True, nullable=True),
        Field("city", Text(40), Keep(reason="a test"), personal=True, nullable=True),
    ),
)
COLUMNS: Final = {each.name: each for each in ORDERS.columns}

_serial: Final = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a custodian works: a warehouse with tables, a custodian's log-in, a key file."""

    outside: Outside
    keys: KeyFile

    @property
    def url(self) -> str:
        """The warehouse, with the log-in that owns it."""
        return self.outside.postgres_url

    def load(self, *orders: Mapping[str, object], keyring: Keyring | None = None) -> None:
        """Loads a batch as a run does, with the keyring as it is now, or as it was then."""
        keyring = keyring or self.keys.load()
        messages = [message({"id": next(_serial), **each}) for each in orders]
        decoded = decode_batch(ORDERS, messages, keyring.settlement_key("orders"))
        assert not decoded.rejects
        masked, sealed = mask(ORDERS, decoded.frame, keyring), seal(ORDERS, decoded.frame, keyring)
        settle(
            Load(ORDERS, replace(decoded, frame=masked, vault=sealed), keyring, "run-1"), self.url
        )

    def column(self, name: str) -> list[Any]:
        """What stands in a column, row by row as they were loaded."""
        return [value for (value,) in ask(self.url, f"SELECT {name} FROM shop.orders ORDER BY id")]

    def audit(self) -> list[tuple[Any, ...]]:
        """Action, field and pseudonym of each record, in their order."""
        statement = "SELECT action, field, token FROM pipeline.audit ORDER BY id"
        return ask(self.url, statement)

    def vault(self) -> set[str]:
        """The pseudonyms in the vault."""
        return {token for (token,) in ask(self.url, "SELECT token FROM pipeline.vault")}


@contextmanager
def desk_at(url: str, folder: Path, feed: Feed = ORDERS) -> Iterator[Desk]:
    """A desk over an empty database."""
    keys = KeyFile(folder / "keyring.json")
    keys.load_or_make()
    with member_of(prepared(url, feed), "custodian") as custodian:
        ask(url, "INSERT INTO pipeline.keyring (fingerprint) VALUES (%s)", keys.load().fingerprint)
        nowhere = Endpoint("http://127.0.0.1:1", embedded=True)
        yield Desk(Outside(nowhere, url, keys, custodian=custodian), keys)


def wanted(column: str, tokens: Sequence[str], reason: str = "ticket 12") -> Request:
    """A request for pseudonyms of a column."""
    return Request("orders", COLUMNS[column].path, tuple(tokens), reason, "Eve")
