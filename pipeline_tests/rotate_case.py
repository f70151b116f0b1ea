"""What the tests of rotating share: persons, and what a custodian sees of them."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import psycopg

from pipeline.operate.rotate import Order, Rotation, rotate
from pipeline.operate.unmask import unmask
from pipeline_tests.custody_case import COLUMNS, ORDERS, Desk, wanted

ANN: Final = {"email": "ann@x.org", "phone": "+49 30 1", "ip": "10.0.0.1", "name": "Ann"}
BOB: Final = {"email": "bob@x.org", "phone": None, "ip": "10.0.0.2", "name": "Bob"}
RENEWED: Final = ("customer", "phone", "sealed_ip")
KEPT: Final = ("ip", "name")


def rotated(desk: Desk, pages: int = 1, tell: Any = lambda _line: None) -> Rotation:  # noqa: ANN401 - or a list's append
    return rotate(desk.outside, Order(ORDERS, "a new key", "Eve", pages), tell)


def person(place: int) -> dict[str, object]:
    """One of a few persons, in a row as wide as can be."""
    few = place % 17
    return {
        "email": f"p{few}@x.org",
        "phone": None if few == 3 else f"+49 30 {few}",
        "ip": f"10.0.0.{few}",
        "name": f"P{few}",
        "city": "x" * 40,
    }


def versions(desk: Desk, column: str) -> set[str]:
    return {token.partition(".")[0] for token in desk.column(column) if token}


def values(desk: Desk, column: str) -> Counter[str | None]:
    """What a custodian sees of a column, row by row."""
    tokens = desk.column(column)
    distinct = tuple({token for token in tokens if token})
    found = unmask(desk.outside, ORDERS, [COLUMNS[column]], wanted(column, distinct))
    opened: dict[str | None, str | None] = {each.token: each.value for each in found}
    return Counter(opened.get(token) for token in tokens)


def assert_complete(desk: Desk, places: range, version: str) -> None:
    """Each person is in as many rows as were sent, and every pseudonym is of the version."""
    for column in RENEWED:
        path = COLUMNS[column].path
        assert values(desk, column) == Counter(person(place)[path] for place in places)
        assert versions(desk, column) == {version}


@contextlib.contextmanager
def held_up(desk: Desk, after: int) -> Iterator[Any]:
    """Holds the row behind so many that are not renewed, and tells who waits for it."""
    with psycopg.connect(desk.url) as holder:
        holder.execute(
            "SELECT FROM shop.orders WHERE id = (SELECT id FROM shop.orders"
            " WHERE sealed_ip LIKE 'v1.%%' ORDER BY ctid OFFSET %s LIMIT 1) FOR UPDATE",
            (after,),
        )
        yield lambda: holder.execute(
            "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        ).fetchall()
