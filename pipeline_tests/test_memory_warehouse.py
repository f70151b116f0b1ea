"""The memory warehouse of the simulation does what Postgres does, whatever is done to both."""

import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.consume.batch import Account, Entry, Reject
from pipeline.consume.ports import RowRefused, Transaction, Warehouse
from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.errors import WarehouseUnavailable
from pipeline.masking.key_file import KeyFile
from pipeline.reasons import Reason
from pipeline_tests.load_case import prepared
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import SENT, message
from simulation.contract import KEYRING, NARROW
from simulation.warehouse import MemoryWarehouse, Store

REFUSED = "bad"
TABLES = ("pipeline.ledger", "simulated", "pipeline.quarantine", "pipeline.account")


class Abandoned(Exception):
    """The transaction is not to be committed."""


@dataclass(frozen=True)
class Work:
    """What one transaction does: rows by key and text, where they are cut, what is rejected."""

    rows: list[tuple[int, str]]
    cuts: list[int]
    rejected: list[tuple[int, str]]
    commits: bool


keys = st.integers(0, 5)
texts = st.sampled_from(("one", "two", REFUSED))
transactions = st.builds(
    Work,
    rows=st.lists(st.tuples(keys, texts), max_size=6),
    cuts=st.lists(st.integers(0, 6), max_size=3),
    rejected=st.lists(st.tuples(keys, texts), max_size=3),
    commits=st.booleans(),
)


def identity(key: int, text: str) -> Entry:
    said = message(text, event_id=str(key), message_id=f"{key} {text}")
    return Entry(key=bytes([key]) * 32, content=text.encode().ljust(16), message=said)


def carry_out(work: Work, transaction: Transaction) -> list[object]:
    """All that the transaction answers."""
    rows = [
        (place, identity(key, text).key, identity(key, text).content, f"e{key}", text, SENT)
        for place, (key, text) in enumerate(work.rows)
    ]
    transaction.stage(rows, ())
    answers: list[object] = []
    places = [0, *sorted(min(cut, len(rows)) for cut in work.cuts), len(rows)]
    for first, end in pairwise(places):
        try:
            answers.append(transaction.insert(first, end))
        except RowRefused:
            answers.append("refused")
    answers.append(sorted(transaction.compare()))
    rejects = [Reject(identity(*each), Reason.CONFLICT) for each in work.rejected]
    answers.append(transaction.quarantine(rejects, KEYRING))
    transaction.record(Account(received=len(rows)), "run-1", str(uuid.uuid4()))
    return answers


def settle(work: Work, warehouse: Warehouse) -> list[object]:
    answers: list[object] = []
    try:
        with warehouse.begin() as transaction:
            answers = carry_out(work, transaction)
            if not work.commits:
                raise Abandoned
    except Abandoned:
        answers.append("abandoned")
    answers.append(sorted(warehouse.find_settled([bytes([key]) * 32 for key in range(6)])))
    return answers


def memory_warehouse() -> tuple[Store, MemoryWarehouse]:
    store = Store(SENT.timestamp, lambda row: row["text"] == REFUSED)
    return store, MemoryWarehouse(NARROW, KEYRING, store)


@pytest.fixture
def postgres_url(warehouse_url: str) -> str:
    url = prepared(warehouse_url, NARROW)
    ask(url, f"ALTER TABLE simulated ADD CHECK (text <> '{REFUSED}')")
    return url


@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # emptied for each example
)
@given(works=st.lists(transactions, min_size=1, max_size=3))
def test_both_answer_alike_and_hold_the_same(postgres_url: str, works: list[Work]) -> None:
    ask(postgres_url, f"TRUNCATE {', '.join(TABLES)}")
    store, memory = memory_warehouse()
    postgres = PostgresWarehouse(NARROW, postgres_url, KeyFile(Path("no-key-file")))
    for work in works:
        assert settle(work, memory) == settle(work, postgres)
    rows = ask(postgres_url, "SELECT event, text, sent_at FROM simulated")
    assert sorted(tuple(row.values()) for row in store.rows) == sorted(rows)
    held = ask(postgres_url, "SELECT message_id, reason FROM pipeline.quarantine")
    assert Counter((e.message.message_id, e.reason.value) for e in store.quarantine.values()) == (
        Counter(held)
    )
    assert len(store.batches) == ask(postgres_url, "SELECT count(*) FROM pipeline.account")[0][0]


def postgres_in_haste(url: str) -> PostgresWarehouse:
    """Waits for no lock, as nothing in the simulation goes on while one waits."""
    options = f"{url}?options=-c%20lock_timeout%3D50ms"
    return PostgresWarehouse(NARROW, options, KeyFile(Path("no-key-file")))


@pytest.mark.parametrize(
    "work",
    [
        Work(rows=[(1, "one")], cuts=[], rejected=[], commits=True),
        Work(rows=[], cuts=[], rejected=[(1, "one")], commits=True),
    ],
)
def test_what_another_transaction_is_about_to_write_is_locked_in_both(
    postgres_url: str, work: Work
) -> None:
    _, memory = memory_warehouse()
    for warehouse in (memory, postgres_in_haste(postgres_url)):
        with warehouse.begin() as transaction:
            carry_out(work, transaction)
            with pytest.raises(WarehouseUnavailable):
                settle(work, warehouse)
        # It has committed: what it has written is known now, and locked no more.
        assert settle(work, warehouse)[-1] == [bytes([key]) * 32 for key, _ in work.rows]
