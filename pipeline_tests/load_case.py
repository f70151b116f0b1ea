"""What the tests of loading share: a prepared warehouse, masked batches, and what is in it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import psycopg
from hypothesis import HealthCheck, settings

from pipeline.consume import load as loading
from pipeline.consume.batch import Account
from pipeline.consume.load import Load
from pipeline.consume.ports import CLOCK, Clock
from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.consume.settlement import decode_batch
from pipeline.contract import Feed
from pipeline.feeds.user_logins import FEED
from pipeline.masking.key_file import KeyFile
from pipeline.masking.mask import mask
from pipeline.masking.vault import seal
from pipeline.messages import Message
from pipeline.warehouse.tables import prepare
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import KEYRING, login, message

TABLES: Final = ("user_logins", "pipeline.ledger", "pipeline.quarantine", "pipeline.account")
"""Where a batch of `user_logins` leaves something."""

NOTHING: Final = dict.fromkeys(TABLES, 0)
"""What `counts` says of a batch that was undone."""

EXAMPLES: Final = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    # The examples share a database; their events differ, or they empty the tables.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""Few examples, the same ones in every run: each is a transaction."""


def prepared(url: str, feed: Feed = FEED) -> str:
    """The URL of a warehouse, now with the feed's table and ours."""
    with psycopg.connect(url) as connection:
        prepare(connection, feed)
    return url


def batch(messages: Sequence[Message], feed: Feed = FEED) -> Load:
    """The messages, decoded and masked, as a run hands them to the load."""
    decoded = decode_batch(feed, messages, KEYRING.settlement_key(feed.name))
    masked, sealed = mask(feed, decoded.frame, KEYRING), seal(feed, decoded.frame, KEYRING)
    return Load(feed, replace(decoded, frame=masked, vault=sealed), KEYRING, run_id="run-1")


def settle(load: Load, url: str, clock: Clock = CLOCK) -> Account:
    """Settles a batch in the warehouse at a URL, as a run does."""
    # Where keys are kept is asked before anything is received, not here.
    store = KeyFile(Path("no-key-file"))
    return loading.settle(load, PostgresWarehouse(load.feed, url, store), clock)


def logins(count: int) -> list[Message]:
    """Events `event-0` and so on, of the users `user-0` and so on."""
    return [
        message(login(user_id=f"user-{place}"), event_id=f"event-{place}") for place in range(count)
    ]


def users(url: str) -> list[str]:
    """The users in the table, in the order of their names."""
    return [user for (user,) in ask(url, "SELECT user_id FROM user_logins ORDER BY user_id")]


def counts(url: str) -> dict[str, int]:
    """How many rows each of `TABLES` has."""
    return {name: ask(url, f"SELECT count(*) FROM {name}")[0][0] for name in TABLES}


def on_insert(url: str, body: str, *, table: str = "user_logins", each: str = "ROW") -> None:
    """Makes a table run a piece of PL/pgSQL before each row, or before each statement."""
    ask(
        url,
        f"CREATE FUNCTION interfere() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;"
        f"CREATE TRIGGER interfere BEFORE INSERT ON {table}"
        f" FOR EACH {each} EXECUTE FUNCTION interfere()",
    )
