"""A run of logins in a process of its own, its restart, and what must be there afterwards."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import psycopg

from pipeline.consume.readiness import check_sink
from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline_tests.samples import login
from pipeline_tests.world import CLOCK_DAY, World, lock

PIPELINE: Final = Path(sys.executable).with_name("pipeline")
LOGINS: Final = 60
START: Final = 60.0  # seconds within which a process must come to its moment
ALL_VISIBLE: Final = 1_000  # seconds: longer than any visibility timeout of the feed


def send_logins(world: World) -> list[str]:
    """Sixty logins of different users and one broken message; the users."""
    check_sink(find("user_logins"), url=world.postgres_url, keyring=KeyFile(world.keyring))
    users = [f"{place:08x}-0000-4000-8000-000000000000" for place in range(LOGINS)]
    bodies = [json.dumps(login(user_id=user)) for user in users]
    world.send(["broken", *bodies])
    return users


def run(world: World) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """`pipeline ingest` as a process of its own, gone when the block ends."""
    return command(world.environment, "ingest", "user_logins")


@contextmanager
def command(environment: Mapping[str, str], *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of `pipeline` as a process of its own, gone when the block ends."""
    with subprocess.Popen(
        [str(PIPELINE), *words],
        env=dict(environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def held_up(world: World) -> Iterator[psycopg.Connection]:
    """A run waits with its batch in hand, for a table that it writes to last; until a rollback."""
    with psycopg.connect(world.postgres_url) as holder:
        # Before it receives it makes sure that it could write.
        world.app.hooks["ReceiveMessage", 1] = lambda: lock(holder, "pipeline.account")
        yield holder


def is_waited_for(holder: psycopg.Connection) -> bool:
    """Whether somebody waits for the table that is held."""
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation IS NOT NULL AND database ="
    database = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    return bool(holder.execute(f"{waiting} {database}").fetchall())


def drain(world: World) -> None:
    """A restart: what the dead run held becomes visible, and is worked off."""
    world.clock.now += ALL_VISIBLE
    world.ingest()
    assert world.depth() == (0, 0)


def assert_complete(world: World, users: list[str], day: dt.date = CLOCK_DAY) -> None:
    """Each login has one row and one entry of the ledger, and every account adds up."""
    rows = world.query("SELECT user_id, create_date FROM user_logins ORDER BY user_id")
    assert rows == [(user, day) for user in users]
    assert world.query("SELECT count(*) FROM pipeline.ledger") == [(LOGINS,)]
    assert world.query("SELECT reason FROM pipeline.quarantine") == [("not_json",)]
    assert world.query(
        "SELECT sum(loaded), sum(quarantined),"
        " bool_and(received = loaded + duplicate + quarantined) FROM pipeline.account"
    ) == [(LOGINS, 1, True)]
