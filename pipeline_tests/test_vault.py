"""The vault holds what stands in the table, sealed, and nothing else."""

from dataclasses import replace
from typing import Final

import pytest

from pipeline.contract import Feed, Field
from pipeline.errors import WarehouseError
from pipeline.masking.policies import Encrypt, Keep, Vault
from pipeline.messages import Message
from pipeline.types import IpAddress, Text
from pipeline_tests.load_case import batch, on_insert, prepared, settle
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import KEYRING, message

FEED: Final = Feed(
    name="orders",
    description="Two fields in the vault, one of them nested and nullable.",
    queue="orders-queue",
    table="shop.orders",
    fields=(
        Field("id", Text(40), Keep()),
        Field("email", Text(40), Vault(), column="customer", personal=True),
        Field("device.ip", IpAddress(), Vault(), personal=True, nullable=True),
        Field("note", Text(40), Encrypt(), personal=True, nullable=True),
    ),
)
FIELDS: Final = {each.path: each for each in FEED.fields}


def order(place: int, email: str, ip: str | None = None, note: str | None = None) -> Message:
    body = {"id": f"order-{place}", "email": email, "device": {"ip": ip}, "note": note}
    return message(body, event_id=f"event-{place}")


def opened(url: str) -> list[tuple[str, str]]:
    """Each field and value of the vault, and each must be the one behind its pseudonym."""
    rows = ask(url, "SELECT field, token, sealed FROM pipeline.vault WHERE feed = 'orders'")
    found = []
    for path, token, sealed in rows:
        keys = KEYRING.field_keys("orders", path)
        found.append((path, Vault().open(token, sealed, FIELDS[path].type, keys)))
    return sorted(found)


def test_the_vault_holds_each_value_of_the_table_once(warehouse_url: str) -> None:
    url = prepared(warehouse_url, FEED)
    settle(batch([order(1, "ann@x.org", "10.0.0.1"), order(2, "ann@x.org")], FEED), url)
    settle(batch([order(3, "ann@x.org", "::ffff:10.0.0.1"), order(4, "bob@x.org")], FEED), url)

    assert opened(url) == [
        ("device.ip", "10.0.0.1"),
        ("email", "ann@x.org"),
        ("email", "bob@x.org"),
    ]
    missing = ask(
        url,
        "SELECT customer FROM shop.orders WHERE NOT EXISTS (SELECT FROM pipeline.vault"
        " WHERE feed = 'orders' AND field = 'email' AND token = customer)",
    )
    assert missing == []


def test_nothing_of_a_value_shows_in_the_vault(warehouse_url: str) -> None:
    url = prepared(warehouse_url, FEED)
    settle(batch([order(1, "ann@x.org", "10.0.0.1", "a note")], FEED), url)
    ((text,),) = ask(url, "SELECT string_agg(vault::text, ' ') FROM pipeline.vault")
    for form in ("ann@x.org", "10.0.0.1", b"ann@x.org".hex(), bytes([10, 0, 0, 1]).hex()):
        assert form not in text


def test_what_does_not_reach_the_table_does_not_reach_the_vault(warehouse_url: str) -> None:
    """A refused row, a conflict, a message that breaks its contract, a duplicate."""
    url = prepared(warehouse_url, FEED)
    on_insert(
        url,
        "IF NEW.id = 'order-2' THEN RAISE check_violation USING CONSTRAINT = 'c'; END IF;"
        " RETURN NEW;",
        table="shop.orders",
    )
    settle(batch([order(1, "ann@x.org"), order(2, "refused@x.org")], FEED), url)
    settle(batch([order(1, "conflict@x.org"), message({"email": "broken@x.org"})], FEED), url)

    assert opened(url) == [("email", "ann@x.org")]
    reasons = ask(url, "SELECT reason FROM pipeline.quarantine ORDER BY 1")
    assert reasons == [("conflict",), ("missing",), ("refused_by_database",)]


def test_a_batch_that_is_undone_leaves_nothing_in_the_vault(warehouse_url: str) -> None:
    """Invariant 1: vault and rows commit together, or neither does."""
    url = prepared(warehouse_url, FEED)
    ask(url, "ALTER TABLE pipeline.account ADD CONSTRAINT never CHECK (false)")
    with pytest.raises(WarehouseError):
        settle(batch([order(1, "ann@x.org")], FEED), url)
    assert (opened(url), ask(url, "SELECT * FROM shop.orders")) == ([], [])


def test_who_was_forgotten_does_not_come_back(warehouse_url: str) -> None:
    url = prepared(warehouse_url, FEED)
    keys = KEYRING.field_keys("orders", "email")
    (subject,) = Vault().subjects(["ann@x.org"], keys)
    ask(url, "INSERT INTO pipeline.forgotten VALUES ('orders', 'email', %s)", subject)
    ask(url, "INSERT INTO pipeline.forgotten VALUES ('other', 'email', %s)", b"bob")

    settle(batch([order(1, "ann@x.org"), order(2, "bob@x.org")], FEED), url)

    assert opened(url) == [("email", "bob@x.org")]
    assert ask(url, "SELECT count(*) FROM shop.orders") == [(2,)]


def test_a_vault_that_has_the_row_already_takes_the_next_batch(warehouse_url: str) -> None:
    url = prepared(warehouse_url, FEED)
    settle(batch([order(1, "ann@x.org")], FEED), url)
    before = ask(url, "SELECT * FROM pipeline.vault")
    settle(batch([order(2, "ann@x.org")], FEED), url)
    assert ask(url, "SELECT * FROM pipeline.vault") == before


def test_one_path_may_feed_a_column_with_a_vault_and_one_without(warehouse_url: str) -> None:
    both = replace(
        FEED,
        fields=(*FEED.fields, Field("email", Text(40), Encrypt(), column="twin", personal=True)),
    )
    url = prepared(warehouse_url, both)
    settle(batch([order(1, "ann@x.org")], both), url)
    ((customer, twin),) = ask(url, "SELECT customer, twin FROM shop.orders")
    assert customer != twin
    assert opened(url) == [("email", "ann@x.org")]
