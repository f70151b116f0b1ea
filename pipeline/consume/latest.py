"""The part of a feed's table that its checks read: a small table whole, of a large one a window."""

import psycopg
from psycopg import sql

from pipeline.contract import Feed
from pipeline.warehouse.tables import table_name

_PAGES = 1_000  # of 8 kB
_ROWS = 300_000  # more than so many pages hold: the bound should the size not tell
# Of a partitioned table the parts have the pages.
_SIZE = """
WITH RECURSIVE part(oid) AS (
    SELECT %s::regclass::oid
    UNION ALL
    SELECT inhrelid FROM pg_inherits JOIN part ON inhparent = part.oid
)
SELECT coalesce(sum(pg_relation_size(oid)), 0)::bigint / current_setting('block_size')::int,
       count(*) > 1
FROM part
"""
_SAMPLE = sql.SQL("SELECT * FROM {table} TABLESAMPLE SYSTEM ({percent})")
_END = sql.SQL("SELECT * FROM {table} WHERE ctid >= {place}::tid")
_BEFORE = sql.SQL(" WHERE ctid < {place}::tid UNION ALL ")


def latest(feed: Feed, connection: psycopg.Connection) -> sql.Composed:
    """The rows to look at, as a table of a statement.

    They are found by their physical place: a given table has no column of ours. New rows stand at
    the end, or on pages that a deletion has freed: so half of the window is the end, and half are
    pages drawn by lot from those before. Where a table has parts, all are drawn.
    """
    table = table_name(feed)
    pages, has_parts = connection.execute(_SIZE, (table.as_string(),)).fetchone() or (0, False)
    if has_parts or pages <= _PAGES:
        rows = _SAMPLE.format(table=table, percent=_percent(_PAGES, pages))
    else:
        drawn = _PAGES // 2
        before = pages - (_PAGES - drawn)
        place = sql.Literal(f"({before},0)")
        rows = (
            _SAMPLE.format(table=table, percent=_percent(drawn, before))
            + _BEFORE.format(place=place)
            + _END.format(table=table, place=place)
        )
    return sql.SQL("({} LIMIT {}) AS latest").format(rows, sql.Literal(_ROWS))


def _percent(wanted: int, pages: int) -> sql.Literal:
    return sql.Literal(min(100.0, 100.0 * wanted / max(pages, 1)))
