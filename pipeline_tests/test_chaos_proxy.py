"""The proxy before Postgres breaks connections as it is told, and no others."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from chaos.proxy import Commit, PostgresProxy
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import eventually


@pytest.fixture
def proxy(warehouse_url: str) -> Iterator[PostgresProxy]:
    """A proxy before the warehouse, which has a table."""
    ask(warehouse_url, "CREATE TABLE kept (value integer)")
    parts = conninfo_to_dict(warehouse_url)
    proxy = PostgresProxy(lambda: (str(parts["host"]), int(str(parts["port"]))))
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def through(proxy: PostgresProxy, warehouse_url: str) -> str:
    """The URL of the warehouse that leads through the proxy."""
    return make_conninfo(warehouse_url, port=proxy.port, host="127.0.0.1")


def insert(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")


def kept(url: str) -> int:
    ((count,),) = ask(url, "SELECT count(*) FROM kept")
    return int(count)


def test_it_passes_on_what_it_is_not_told_to_break(through: str, warehouse_url: str) -> None:
    insert(through)
    assert kept(warehouse_url) == kept(through) == 1


@pytest.mark.parametrize(("half", "rows"), [(Commit.REQUEST, 0), (Commit.ANSWER, 1)])
def test_either_half_of_a_commit_can_be_lost_once(
    proxy: PostgresProxy, through: str, warehouse_url: str, half: Commit, rows: int
) -> None:
    """Fault 44."""
    proxy.lose_commit(half)
    with pytest.raises(psycopg.OperationalError):
        insert(through)
    assert kept(warehouse_url) == rows
    assert proxy.lost == {half: 1}
    insert(through)
    assert kept(warehouse_url) == rows + 1


def test_a_reset_reaches_every_connection_that_there_is(proxy: PostgresProxy, through: str) -> None:
    with closing(psycopg.connect(through)) as one, closing(psycopg.connect(through)) as other:
        assert proxy.reset() == 2
        for each in (one, other):
            with pytest.raises(psycopg.OperationalError):
                each.execute("SELECT 1")
    assert kept(through) == 0


def test_a_black_hole_says_nothing_until_it_ends_and_what_was_lost_is_reset(
    proxy: PostgresProxy, through: str
) -> None:
    """Fault 45."""
    with closing(psycopg.connect(through)) as old:
        proxy.go_silent()
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(through, connect_timeout=2)
        old.pgconn.send_query(b"SELECT 1")
        proxy.speak()
        with pytest.raises(psycopg.OperationalError):
            old.execute("SELECT 1")
    assert kept(through) == 0


def test_of_a_half_open_connection_only_the_server_knows(
    proxy: PostgresProxy, through: str, warehouse_url: str
) -> None:
    """Fault 45: the client learns of it when the network does."""
    with closing(psycopg.connect(through, application_name="half")) as client:
        assert proxy.half_open() == 1
        alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'half'"
        eventually(lambda: ask(warehouse_url, alive) == [(0,)])
        client.pgconn.send_query(b"SELECT 1")
        assert client.pgconn.status == psycopg.pq.ConnStatus.OK
        proxy.drop_numb()
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")


def test_what_it_was_told_is_over_when_it_recovers(proxy: PostgresProxy, through: str) -> None:
    proxy.latency = 30.0
    proxy.go_silent()
    proxy.lose_commit(Commit.REQUEST)
    proxy.recover()
    insert(through)
    assert kept(through) == 1


def test_a_server_that_is_down_refuses_and_is_found_again(warehouse_url: str) -> None:
    parts = conninfo_to_dict(warehouse_url)
    places = iter([("127.0.0.1", 1), (str(parts["host"]), int(str(parts["port"])))])
    proxy = PostgresProxy(lambda: next(places))
    proxy.start()
    through = make_conninfo(warehouse_url, port=proxy.port, host="127.0.0.1")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(through)
    assert ask(through, "SELECT 1") == [(1,)]
    proxy.stop()
