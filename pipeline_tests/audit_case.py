"""What the tests of the audit share: a custodian, requests, and a vault with something in it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final
from uuid import UUID, uuid4

import psycopg

from pipeline.resources import postgres
from pipeline.warehouse.audit import Request
from pipeline_tests.access_case import member_of
from pipeline_tests.outside_world import ask

ANN: Final = b"ann's subject"
BOB: Final = b"bob's subject"
HELD: Final = {"v1.ann": ANN, "v2.ann": ANN, "v1.bob": BOB}
"""The pseudonyms in the vault, and whom they stand for; Ann has one of each key version."""

NOT_COMMITTED: Final = "not committed yet"
NOT_YOURS: Final = "made no such request"
"""What the refusals say, in part."""

BY_HAND: Final = """
INSERT INTO pipeline.audit (request, at, db_user, stated_by, action, feed, field, token, reason)
VALUES (%s, clock_timestamp() - make_interval(secs => %s), %s, '', %s, 'orders', 'email',
        'v1.ann', '')
"""
"""A request with a number, of an age in seconds, by a user: as no custodian can write one."""


def fill(url: str, feed: str = "orders", field: str = "email") -> None:
    """Puts `HELD` into the vault; what is sealed is the pseudonym itself."""
    for token, subject in HELD.items():
        ask(
            url,
            "INSERT INTO pipeline.vault (feed, field, token, subject, sealed)"
            " VALUES (%s, %s, %s, %s, %s)",
            feed, field, token, subject, token.encode(),
        )  # fmt: skip


def request(*tokens: str, reason: str = "ticket 12", stated_by: str = "Eve") -> Request:
    """A request for pseudonyms of one field."""
    return Request("orders", "email", tokens, reason, stated_by)


@contextmanager
def custodian(url: str) -> Iterator[psycopg.Connection]:
    """A connection of a new custodian."""
    with member_of(url, "custodian") as login, closing(postgres.connect(login)) as connection:
        yield connection


def audited(url: str) -> list[tuple[str, str | None, str | None]]:
    """Action, pseudonym and detail of each record, in their order."""
    return [
        (action, token, detail)
        for action, token, detail in ask(
            url, "SELECT action, token, detail FROM pipeline.audit ORDER BY action, detail, token"
        )
    ]


def by_hand(url: str, user: str, *, age: int, action: str = "unmask") -> UUID:
    """A request of a user, made so many seconds ago."""
    number = uuid4()
    ask(url, BY_HAND, number, age, user, action)
    return number
