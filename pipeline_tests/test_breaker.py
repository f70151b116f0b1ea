"""The breaker of invariant 7: trouble around us fills neither quarantine nor dead letters."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Final

import psycopg
import pytest
from psycopg import sql

from pipeline.consume.held import release_pause
from pipeline.consume.plan import Decision, Seen, decide
from pipeline.resources.settings import POSTGRES_URL
from pipeline_tests.access_case import member_of
from pipeline_tests.dead_letter_case import DELIVERIES, depth, logins, outside, with_dead_letters
from pipeline_tests.load_case import on_insert
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import World, admit, lock

LOGINS: Final = 12
HOUR: Final = 3_600.0
TICK: Final = 5.0
EVERY_MINUTE: Final = 60.0
LIMITS: Final = USER_LOGINS.limits
GIVES_UP: Final = 20
"""What the embedded queue sets, and what the start-up checks ask for."""

Trouble = contextlib.AbstractContextManager[None]


@contextlib.contextmanager
def down(world: World) -> Iterator[None]:
    admit(world.postgres_url, connections=False)
    yield
    admit(world.postgres_url, connections=True)


@contextlib.contextmanager
def set_for_all(world: World, setting: str) -> Iterator[None]:
    """With a setting of the whole database."""
    name = world.postgres_url.rpartition("/")[2]
    ask(world.postgres_url, f"ALTER DATABASE {name} SET {setting}")
    yield
    with psycopg.connect(world.postgres_url, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        connection.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(sql.Identifier(name)))


def read_only(world: World) -> Trouble:
    return set_for_all(world, "default_transaction_read_only = on")


@contextlib.contextmanager
def locked(world: World) -> Iterator[None]:
    """As by a migration."""
    with psycopg.connect(world.postgres_url) as holder:
        lock(holder, "user_logins")
        yield


@contextlib.contextmanager
def disk_full(world: World) -> Iterator[None]:
    """What a server says whose disk is full, of whoever writes."""
    ask(
        world.postgres_url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'no space left'; END $$;"
        "CREATE TRIGGER full_disk BEFORE INSERT ON pipeline.ledger EXECUTE FUNCTION full_disk()",
    )
    yield
    ask(world.postgres_url, "DROP FUNCTION full_disk CASCADE")


@contextlib.contextmanager
def no_connection_left(world: World) -> Iterator[None]:
    """For the log-in of the runs."""
    with (
        member_of(world.postgres_url, "loader", attributes="CONNECTION LIMIT 0") as url,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv(POSTGRES_URL, url)
        yield


@contextlib.contextmanager
def no_keyring(world: World) -> Iterator[None]:
    away = world.keyring.with_suffix(".away")
    world.keyring.rename(away)
    yield
    away.rename(world.keyring)


TROUBLES: Final[dict[str, Callable[[World], Trouble]]] = {
    "down": down,
    "read-only, as after a failover": read_only,
    "a lock that a migration holds": locked,
    "a full disk": disk_full,
    "no connection left": no_connection_left,
    "no keyring": no_keyring,
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_of_the_environment_costs_no_delivery(world: World, trouble: str) -> None:
    """Faults 16, 43, 47 to 49 and 70: more runs fail than a message has deliveries."""
    letters = with_dead_letters(world)
    outside(world)
    world.send(logins(LOGINS))
    with TROUBLES[trouble](world):
        for _ in range(DELIVERIES + 1):
            assert not world.run().success
    assert world.app.calls["ReceiveMessage"] == 0
    assert (world.depth(), depth(world, letters)) == ((LOGINS, 0), (0, 0))
    assert world.ingest()["rows"] == LOGINS
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(0,)]


def test_six_hours_of_outage_back_off_and_leave_every_message_as_it_was(world: World) -> None:
    """Faults 16 and 43: hours on a virtual clock, with the decisions of each tick."""
    letters = with_dead_letters(world)
    outside(world)
    world.send(logins(LOGINS))
    failed_at: list[float] = []
    with down(world):
        for now in itertools.takewhile(lambda now: now < 6 * HOUR, itertools.count(0.0, TICK)):
            world.clock.now += TICK
            for _ in range(decided(now, LOGINS, failed_at).runs):
                if len(failed_at) <= 2 * DELIVERIES:  # the later ones fail as these do
                    assert not world.run().success
                failed_at.append(now)
    assert 36 <= len(failed_at) <= 45  # one in ten minutes at last
    assert world.app.calls["ReceiveMessage"] == 0
    assert depth(world, letters) == (0, 0)
    assert world.ingest()["rows"] == LOGINS
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(0,)]


def test_trouble_that_begins_at_the_commit_fills_nothing_either(world: World) -> None:
    """Fault 49: the check finds nothing, the load is refused; everything comes again."""
    letters = with_dead_letters(world, maxReceiveCount=GIVES_UP)
    outside(world)
    world.send(logins(LOGINS))
    with refused_at_the_commit(world):
        for _ in range(3):
            assert not world.run().success
            assert world.depth() == (0, LOGINS)  # hidden for the back-off
            world.clock.now += HOUR
    assert depth(world, letters) == (0, 0)
    assert world.ingest()["rows"] == LOGINS
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(0,)]


@contextlib.contextmanager
def refused_at_the_commit(world: World) -> Iterator[None]:
    """A disk that is too full for a batch, and not for the little that a check writes.

    The load has every constraint checked at once: the last of its tables puts that off again. What
    fires in any statement but the COMMIT says nothing, and the runs would succeed.
    """
    on_insert(
        world.postgres_url,
        "SET CONSTRAINTS ALL DEFERRED; RETURN NEW;",
        table="pipeline.account",
    )
    ask(
        world.postgres_url,
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF current_query() = 'COMMIT' THEN"
        " RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'no space left'; END IF;"
        " RETURN NULL; END $$;"
        "CREATE CONSTRAINT TRIGGER full_disk AFTER INSERT ON pipeline.account"
        " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION full_disk()",
    )
    yield
    ask(world.postgres_url, "DROP FUNCTION full_disk, interfere CASCADE")


@pytest.mark.parametrize("waiting", [1, 10, 200])
def test_an_outage_that_begins_after_the_receive_is_borne_for_eleven_hours(waiting: int) -> None:
    """Fault 16: by the decisions and the back-off alone, until SQS gives the first message up.

    In the worst case, in which SQS delivers first what it has delivered most often.
    """
    assert 11 * HOUR <= borne(waiting) <= 13 * HOUR


def borne(waiting: int) -> float:
    """Seconds until SQS gives the first message up, where every run fails after its receive."""
    visible_at, received = [0.0] * waiting, [0] * waiting
    failed_at: list[float] = []
    now = 0.0
    while True:
        visible = [place for place in range(waiting) if visible_at[place] <= now]
        visible.sort(key=received.__getitem__, reverse=True)
        decision = decided(now, len(visible), failed_at)
        for _ in range(decision.runs):
            most = decision.most_messages or LIMITS.batch_messages
            for place in visible[:most]:
                if received[place] == GIVES_UP:
                    return now
                received[place] += 1
                visible_at[place] = now + release_pause(received[place])
            visible = visible[most:]
            failed_at.append(now)
        now += EVERY_MINUTE


def decided(now: float, waiting: int, failed_at: list[float]) -> Decision:
    """What a tick decides, where every run fails at once."""
    failures = len(failed_at)
    seen = Seen(
        now=now,
        depth=waiting,
        active=0,
        receiving=0,
        failures=min(failures, 8),  # as many as the sensor looks at
        failed_at=failed_at[-1] if failed_at else 0.0,
        waiting_since=-HOUR,
    )
    return decide(seen, LIMITS)


def test_the_check_commits_in_earnest(world: World) -> None:
    """What fails only at a commit is found before anything is received."""
    outside(world)
    ((before,),) = world.query("SELECT pg_current_wal_insert_lsn()::text")
    outside(world)
    with psycopg.connect(world.postgres_url) as connection:
        flushed = connection.execute(
            "SELECT pg_current_wal_flush_lsn() > %s::pg_lsn", (before,)
        ).fetchone()
    assert flushed == (True,)
