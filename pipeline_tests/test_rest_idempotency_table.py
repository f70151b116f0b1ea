"""Answers in Postgres: shared, sealed, bounded, and there again when a connection was cut."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

import psycopg
import pytest

from pipeline.errors import Overloaded, TableMismatch, WarehouseUnavailable
from pipeline.produce.rest.idempotency import KEPT_SECONDS, Answer, Begun, Claim, New, Replay
from pipeline.produce.rest.idempotency_table import TableStore
from pipeline.warehouse import schema
from pipeline_tests.access_case import member_of
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY, eventually
from pipeline_tests.world import admit, lock

TABLE: Final = "pipeline.idempotency"
KEY: Final = f"{CANARY}-0123456789abcdef"
ANSWER: Final = Answer(202, f'{{"event_id": "rest:acme:{CANARY}"}}'.encode())
OTHERS: Final = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'pipeline'
"""

_Result = TypeVar("_Result")


@pytest.fixture
def url(warehouse_url: str) -> str:
    """A warehouse with our own tables."""
    with psycopg.connect(warehouse_url) as connection:
        schema.upgrade(connection)
    return warehouse_url


@pytest.fixture
def store(url: str) -> Iterator[TableStore]:
    with contextlib.closing(TableStore(url)) as made:
        yield made


def run(work: Coroutine[Any, Any, _Result]) -> _Result:
    return asyncio.run(work)


def claim(key: str = KEY) -> Claim:
    return Claim.of("acme", "user_logins", key, f'{{"ip": "{CANARY}"}}'.encode())


def test_two_processes_share_their_keys(url: str, store: TableStore) -> None:
    async def rush(other: TableStore, key: str) -> list[Begun]:
        both = [(store, other)[place % 2].begin(claim(key)) for place in range(20)]
        return await asyncio.gather(*both)

    with contextlib.closing(TableStore(url)) as other:
        for turn in range(10):
            assert run(rush(other, f"{KEY}-{turn}")).count(New()) == 1
        first = claim()
        run(store.begin(first))
        run(store.finish(first, ANSWER))
        assert run(other.begin(claim())) == Replay(ANSWER)


def test_neither_key_nor_payload_nor_answer_can_be_read_in_the_table(
    url: str, store: TableStore
) -> None:
    first = claim()
    run(store.begin(first))
    run(store.finish(first, ANSWER))
    run(store.begin(claim(KEY + "2")))
    ((text, binary),) = ask(
        url,
        "SELECT string_agg(t::text, ' '),"
        " string_agg(key_digest || fingerprint || attempt || coalesce(answer, ''), '')"
        f" FROM {TABLE} AS t",
    )
    assert "acme" in text
    for secret in (CANARY, CANARY.encode().hex(), "user_logins", "rest:", first.seal.hex()):
        assert secret not in text
        assert secret.encode() not in binary


def test_an_answer_that_was_moved_to_another_request_is_not_given_out(
    url: str, store: TableStore
) -> None:
    for key in (KEY, KEY + "2"):
        each = claim(key)
        run(store.begin(each))
        run(store.finish(each, ANSWER))
    ask(url, f"UPDATE {TABLE} SET status = 422")
    with pytest.raises(TableMismatch, match="not as this service wrote it"):
        run(store.begin(claim()))
    swapped = f"(SELECT answer FROM {TABLE} AS other WHERE other.key_digest <> t.key_digest)"
    ask(url, f"UPDATE {TABLE} AS t SET status = 202, answer = {swapped}")
    with pytest.raises(TableMismatch, match="not as this service wrote it"):
        run(store.begin(claim()))


def test_connections_that_were_cut_while_idle_are_replaced(url: str, store: TableStore) -> None:
    first = claim()
    run(store.begin(first))
    cut(url)
    run(store.finish(first, ANSWER))
    cut(url)
    assert run(store.begin(claim())) == Replay(ANSWER)


def test_a_connection_that_is_cut_in_the_middle_is_replaced(url: str, store: TableStore) -> None:
    run(store.check())
    with psycopg.connect(url) as holder:
        lock(holder, TABLE)
        found: list[Begun] = []
        waiting = threading.Thread(target=lambda: found.append(run(store.begin(claim()))))
        waiting.start()
        eventually(lambda: blocked(url))
        cut(url)
        eventually(lambda: blocked(url))  # the second try
    waiting.join(timeout=10)
    assert found == [New()]


def test_a_begin_whose_answer_was_lost_is_new_when_it_is_done_again(store: TableStore) -> None:
    first = claim()
    assert run(store.begin(first)) == New()
    assert run(store.begin(first)) == New()
    run(store.finish(first, ANSWER))
    assert run(store.begin(first)) == Replay(ANSWER)


def test_while_postgres_is_down_nothing_is_claimed(url: str, store: TableStore) -> None:
    run(store.check())
    admit(url, connections=False)
    with pytest.raises(WarehouseUnavailable):
        run(store.begin(claim()))
    admit(url, connections=True)
    eventually(lambda: is_new(store))


def test_old_answers_are_pruned_in_small_portions(url: str, store: TableStore) -> None:
    ask(
        url,
        f"INSERT INTO {TABLE} (sender, key_digest, fingerprint, attempt, started_at)"
        " SELECT 'old', n::text::bytea, '', '', now() - make_interval(secs => %s + 300 - n)"
        " FROM generate_series(1, 290) AS n",
        KEPT_SECONDS,
    )
    run(store.begin(claim()))
    assert ask(url, f"SELECT count(*), min(key_digest)::text FROM {TABLE} WHERE sender = 'old'")[
        0
    ] == (90, r"\x323031")  # the oldest 200 went first
    for turn in range(50):
        run(store.begin(claim(f"{KEY}-{turn}")))
    assert ask(url, f"SELECT DISTINCT sender FROM {TABLE}") == [("acme",)]


def test_no_more_than_the_bound_wait_and_connect(url: str) -> None:
    async def rush(store: TableStore) -> list[Begun | BaseException]:
        asked = [asyncio.create_task(store.begin(claim(f"{KEY}-{n}"))) for n in range(9)]
        await asyncio.sleep(0)
        done, _ = await asyncio.wait(asked, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 4
        await asyncio.to_thread(eventually, lambda: len(ask(url, OTHERS)) == 2)
        holder.rollback()
        return await asyncio.gather(*asked, return_exceptions=True)

    with psycopg.connect(url) as holder, contextlib.closing(TableStore(url, 2, 3)) as store:
        lock(holder, TABLE)
        found = run(rush(store))
        assert found.count(New()) == 5
        assert sum(isinstance(each, Overloaded) for each in found) == 4
        assert len(ask(url, OTHERS)) == 2
    eventually(lambda: not ask(url, OTHERS))


def test_the_log_in_of_the_service_may_do_all_of_it(url: str) -> None:
    with (
        member_of(url, "producer") as log_in,
        contextlib.closing(TableStore(log_in)) as store,
    ):
        run(store.check())
        first = claim()
        assert run(store.begin(first)) == New()
        run(store.give_up(first))
        assert run(store.begin(first)) == New()
        run(store.finish(first, ANSWER))
        assert run(store.begin(claim())) == Replay(ANSWER)


@pytest.mark.parametrize("role", ["loader", "analyst", "custodian", "auditor"])
def test_another_log_in_is_told_which_role_it_lacks(url: str, role: str) -> None:
    with (
        member_of(url, role) as log_in,
        contextlib.closing(TableStore(log_in)) as store,
        pytest.raises(TableMismatch, match="member of the role producer"),
    ):
        run(store.check())


Step = Callable[[str], object]


@pytest.mark.parametrize(
    "before",
    [
        pytest.param(lambda _url: None, id="no schema"),
        pytest.param(lambda url: ask(url, "CREATE SCHEMA pipeline"), id="no table"),
        pytest.param(
            lambda url: ask(url, f"CREATE SCHEMA pipeline; CREATE TABLE {TABLE} (sender text)"),
            id="an older table",
        ),
    ],
)
def test_without_its_table_it_says_to_migrate(warehouse_url: str, before: Step) -> None:
    before(warehouse_url)
    with (
        contextlib.closing(TableStore(warehouse_url)) as store,
        pytest.raises(TableMismatch, match="pipeline migrate"),
    ):
        run(store.check())


def cut(url: str) -> None:
    """Ends the store's connections, as a restart of Postgres would."""
    assert ask(url, f"SELECT pg_terminate_backend(pid) FROM ({OTHERS}) AS others")


def is_new(store: TableStore) -> bool:
    """Whether Postgres answers again: for a second after it did not, it is not asked."""
    with contextlib.suppress(WarehouseUnavailable):
        return run(store.begin(claim())) == New()
    return False


def blocked(url: str) -> bool:
    """Whether somebody waits for a lock."""
    waits = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND"
    return bool(ask(url, f"{waits} wait_event_type = 'Lock'"))
