"""What the tests of migrations share: warehouses as earlier code left them, and their bytes."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from alembic import command
from alembic.config import Config

from pipeline.feeds.user_logins import FEED
from pipeline.warehouse.schema import find_version
from pipeline.warehouse.tables import prepare
from pipeline_tests.outside_world import ask

BEFORE_VERSIONS: Final = """
CREATE SCHEMA pipeline;
CREATE TABLE pipeline.ledger (
    feed text NOT NULL, key bytea NOT NULL, content bytea NOT NULL,
    settled_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (feed, key));
CREATE INDEX ledger_settled_at ON pipeline.ledger USING brin (settled_at);
CREATE TABLE pipeline.quarantine (
    feed text NOT NULL, key bytea NOT NULL, message_id text NOT NULL, reason text NOT NULL,
    field text, receive_count integer NOT NULL, sent_at timestamptz NOT NULL,
    quarantined_at timestamptz NOT NULL DEFAULT now(), body_sealed bytea NOT NULL,
    PRIMARY KEY (feed, key));
CREATE TABLE pipeline.account (
    batch_id uuid PRIMARY KEY, feed text NOT NULL, run_id text NOT NULL,
    received integer NOT NULL, loaded integer NOT NULL, duplicate integer NOT NULL,
    quarantined integer NOT NULL, committed_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX account_feed ON pipeline.account (feed, committed_at);
CREATE TABLE pipeline.keyring (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one), fingerprint bytea NOT NULL);
"""
"""Our own tables as they were made before there were versions."""

GIVEN: Final = """
CREATE TABLE user_logins(
    user_id varchar(128), device_type varchar(32), masked_ip varchar(256),
    masked_device_id varchar(256), locale varchar(32), app_version integer, create_date date);
"""
_LATER: Final = {
    # version: what a load names that came with it, and how to take it away again
    "0003": (
        "ALTER TABLE pipeline.account ADD COLUMN released integer",
        "ALTER TABLE pipeline.account DROP COLUMN released",
    ),
    "0004": (
        """
        ALTER TABLE pipeline.quarantine ADD COLUMN event_id_sealed bytea;
        CREATE TABLE pipeline.quarantine_left (feed text, key bytea, left_at timestamptz);
        """,
        """
        ALTER TABLE pipeline.quarantine DROP COLUMN event_id_sealed;
        DROP TABLE pipeline.quarantine_left;
        """,
    ),
    "0006": (
        "ALTER TABLE pipeline.account ADD COLUMN reasons jsonb",
        "ALTER TABLE pipeline.account DROP COLUMN reasons",
    ),
}
_FILLED: Final = {
    "public.user_logins": "*",
    "pipeline.ledger": "*",
    # Version 0004 added a column.
    "pipeline.quarantine": "feed, key, message_id, reason, field, receive_count, sent_at,"
    " quarantined_at, body_sealed",
    # Version 0003 added a column.
    "pipeline.account": "batch_id, feed, run_id, received, loaded, duplicate, quarantined,"
    " committed_at",
    "pipeline.keyring": "*",
}


def make_at(url: str, version: str | None) -> None:
    """An earlier warehouse, as the code of that time left it."""
    ask(url, GIVEN)
    if version is None:
        ask(url, BEFORE_VERSIONS)
        return
    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", "pipeline.warehouse:migrations")
    command.upgrade(config, version, sql=True)
    ask(url, f"CREATE SCHEMA pipeline; {written.getvalue()}")


@contextmanager
def lent(url: str, version: str | None) -> Iterator[None]:
    """An earlier warehouse with what today's load needs of later versions, and then without."""
    later = [each for since, each in _LATER.items() if version is None or version < since]
    for give, _ in later:
        ask(url, give)
    yield
    for _, take in later:
        ask(url, take)


def dump(url: str) -> dict[str, bytes]:
    """Every byte of the tables that there were before versions."""
    with psycopg.connect(url) as connection:
        found = {}
        for table, columns in _FILLED.items():
            statement = f"COPY (SELECT {columns} FROM {table} ORDER BY 1, 2) TO STDOUT".encode()
            with connection.cursor() as cursor, cursor.copy(statement) as copied:
                found[table] = b"".join(bytes(piece) for piece in copied)
        return found


def version_of(url: str) -> str | None:
    with psycopg.connect(url) as connection:
        return find_version(connection)


def prepare_at(url: str) -> None:
    with psycopg.connect(url) as connection:
        prepare(connection, FEED)
