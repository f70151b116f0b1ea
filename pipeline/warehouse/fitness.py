"""Whether a database and a feed's table are fit to keep what is loaded: asked before a receive."""

from typing import Final

import psycopg

from pipeline.contract import Feed
from pipeline.errors import TableMismatch
from pipeline.warehouse.schema import SCHEMA
from pipeline.warehouse.tables import table_name

_FORGETFUL: Final = """
SELECT format('%%I.%%I', n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 'p'
  AND (n.nspname = %(own)s
       OR c.oid = to_regclass(%(table)s)
       OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%(table)s))))
ORDER BY 1
"""

# Row security that applies to this role, and no policy by which it may insert anything at all.
_CLOSED: Final = """
SELECT row_security_active(t.oid) AND NOT EXISTS (
    SELECT FROM pg_policy p CROSS JOIN unnest(p.polroles) AS of(role)
    WHERE p.polrelid = t.oid AND p.polpermissive AND p.polcmd IN ('a', '*')
      AND CASE of.role WHEN 0 THEN true ELSE pg_has_role(of.role, 'USAGE') END
)
FROM (SELECT to_regclass(%s)::oid) AS t(oid)
"""


def check_fitness(connection: psycopg.Connection, feed: Feed) -> None:
    """Makes sure that what is committed is kept as it was sent.

    Raises:
        TableMismatch: The database does not hold Unicode, a table loses its rows where the server
            crashes, or row security lets this role insert nothing.
    """
    table = table_name(feed).as_string(connection)
    _check_encoding(connection, feed)
    forgetful = connection.execute(_FORGETFUL, {"own": SCHEMA, "table": table}).fetchall()
    if forgetful:
        names = ", ".join(name for (name,) in forgetful)
        raise TableMismatch(
            f"table {names} loses its rows where the server crashes, after their messages are"
            " deleted",
            remedy="ALTER TABLE ... SET LOGGED; nothing was received",
            feed=feed.name,
            rule="no unlogged table",
        )
    if connection.execute(_CLOSED, (table,)).fetchone() == (True,):
        raise TableMismatch(
            f"row security keeps this role from inserting into {feed.table}",
            remedy="Give the role a policy for INSERT, or BYPASSRLS; nothing was received",
            feed=feed.name,
            rule="the loader may insert every row",
        )


def _check_encoding(connection: psycopg.Connection, feed: Feed) -> None:
    """One letter that the database cannot hold would keep a whole batch from it."""
    row = connection.execute("SELECT current_setting('server_encoding')").fetchone()
    if row != ("UTF8",):
        raise TableMismatch(
            f"the database has the encoding {row[0] if row else 'unknown'}, which cannot hold"
            " every text",
            remedy="Load into a database that is made with ENCODING 'UTF8'; nothing was received",
            feed=feed.name,
            rule="the database is in UTF8",
        )
