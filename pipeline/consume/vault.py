"""Puts the sealed values of a batch into the vault, together with the rows that need them."""

from collections.abc import Iterator, Sequence

import psycopg
from psycopg import sql

from pipeline.contract import Feed
from pipeline.masking.policies import Vault
from pipeline.masking.vault import VaultRow
from pipeline.resources import postgres

_PART = """
, {name} AS (
    INSERT INTO pipeline.vault (feed, field, token, subject, sealed)
    SELECT %(feed)s, {path}, token, subject, sealed
    FROM pg_temp.sealed
    WHERE field = {path}
      AND token IN (
          SELECT incoming.{column} FROM pg_temp.incoming JOIN settled ON settled.key = __key
      )
      AND NOT EXISTS (
          SELECT FROM pipeline.forgotten AS f
          WHERE f.feed = %(feed)s AND f.field = {path} AND f.subject = sealed.subject
      )
    ORDER BY token
    ON CONFLICT DO NOTHING
)
"""


def stage(connection: psycopg.Connection, feed: Feed, rows: Sequence[VaultRow]) -> None:
    """Copies the sealed values into a temporary table, for `additions` to take from."""
    if any(_fields(feed)):
        connection.execute(
            "CREATE TEMPORARY TABLE sealed (field text, token text, subject bytea, sealed bytea)"
            " ON COMMIT DROP"
        )
        content = ((row.path, row.token, row.subject, row.sealed) for row in rows)
        postgres.copy(connection, "sealed", content)


def additions(feed: Feed) -> sql.Composed:
    """What the statement that moves a batch says in addition, to fill the vault.

    Only what stands in a row that is loaded now is kept: nothing of a message that the table
    refused or the ledger knew, and nothing of somebody who was forgotten. Who is being forgotten
    at this moment: `pipeline.forget` locks the vault, so one of the two waits for the other's
    commit, and the statement looks only once it has its own lock.
    """
    return sql.Composed(
        [
            sql.SQL(_PART).format(
                name=sql.Identifier(f"vaulted_{place}"),
                path=sql.Literal(path),
                column=sql.Identifier(column),
            )
            for place, (path, column) in enumerate(_fields(feed))
        ]
    )


def _fields(feed: Feed) -> Iterator[tuple[str, str]]:
    for each in feed.columns:
        if isinstance(each.policy, Vault):
            yield each.path, each.name
