"""The oracles over the warehouse after the drain: nothing lost, nothing doubled, all accounted."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import psycopg
from psycopg import sql

from chaos.accepted import Record
from chaos.identity import Mark
from chaos.traffic import PLACES
from pipeline.contract import Feed
from pipeline.warehouse.tables import table_name

_TABLES = """
CREATE TEMPORARY TABLE sent (
    answer text, number bigint, place bigint, key bytea, content bytea, quarantine bytea
);
CREATE TEMPORARY TABLE waiting (quarantine bytea);
CREATE TEMPORARY TABLE found (place bigint);
"""
# A message is known by event and content: of a conflict both sides must be somewhere.
_LOST = """
SELECT count(*) FROM (
    SELECT DISTINCT key, content, quarantine FROM sent WHERE answer = 'accepted'
) AS each
WHERE NOT EXISTS (
    SELECT FROM pipeline.ledger AS l
    WHERE l.feed = %(feed)s AND l.key = each.key AND l.content = each.content
) AND NOT EXISTS (
    SELECT FROM pipeline.quarantine AS q WHERE q.feed = %(feed)s AND q.key = each.quarantine
) AND NOT EXISTS (SELECT FROM waiting AS w WHERE w.quarantine = each.quarantine)
"""
_WITHOUT_ROW = """
SELECT count(DISTINCT place) FROM sent JOIN pipeline.ledger AS l USING (key, content)
WHERE l.feed = %(feed)s AND NOT EXISTS (SELECT FROM found WHERE found.place = sent.place)
"""
_STRANGERS = """
SELECT count(*) FROM found WHERE NOT EXISTS (
    SELECT FROM sent WHERE sent.place = found.place AND answer <> 'refused'
)
"""
_ACCOUNTS = """
SELECT count(*), coalesce(sum(received), 0), coalesce(sum(loaded), 0),
       coalesce(sum(duplicate), 0), coalesce(sum(quarantined), 0), coalesce(sum(released), 0),
       count(*) FILTER (WHERE received <> loaded + duplicate + quarantined + released)
FROM pipeline.account WHERE feed = %(feed)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the warehouse holds, against what was sent.

    Attributes:
        accepted: Messages that were accepted, each counted once.
        lost: Of these, how many are nowhere.
        without_row: Events that the ledger has and the table has not.
        rows: Rows of the table.
        events: Different events among them.
        ledger: Entries of the ledger.
        strangers: Rows of events that nobody sent, or that were refused.
        quarantined: Entries of the quarantine, by reason.
        left: Entries that have left it, since they were redriven.
        batches: Rows of the account.
        account: Their sums: received, loaded, duplicate, quarantined, released.
        crooked: Rows of the account that do not add up.
    """

    accepted: int
    lost: int
    without_row: int
    rows: int
    events: int
    ledger: int
    strangers: int
    quarantined: dict[str, int] = field(default_factory=dict)
    left: int = 0
    batches: int = 0
    account: dict[str, int] = field(default_factory=dict)
    crooked: int = 0


def add_up(findings: Sequence[Findings]) -> Findings:
    """The sums over some feeds."""
    sums: dict[str, Any] = {}
    for each in fields(Findings):
        values = [getattr(found, each.name) for found in findings]
        if isinstance(values[0], dict):
            names = dict.fromkeys(name for value in values for name in value)
            sums[each.name] = {name: sum(v.get(name, 0) for v in values) for name in names}
        else:
            sums[each.name] = sum(values)
    return Findings(**sums)


def compare(
    connection: psycopg.Connection,
    feed: Feed,
    stem: str,
    *,
    sent: Iterable[Record],
    waiting: Iterable[Mark],
) -> Findings:
    """Compares the warehouse with the log of what was sent.

    Args:
        connection: To Postgres itself.
        feed: Whose table.
        stem: What every user id of the table begins with; the canary's place follows.
        sent: The log.
        waiting: What is still on the queue or its dead-letter queue.
    """
    connection.execute(_TABLES)
    _copy_in(connection, sent, waiting)
    connection.execute(
        sql.SQL("INSERT INTO found SELECT substr(user_id, {})::bigint FROM {}").format(
            sql.Literal(len(stem) + 1), table_name(feed)
        )
    )
    connection.execute("ANALYZE sent; ANALYZE found; ANALYZE pipeline.ledger")

    def ask(statement: str) -> tuple[int, ...]:
        row = connection.execute(statement.encode(), {"feed": feed.name}).fetchone()
        return tuple(map(int, row or ()))

    batches, *sums, crooked = ask(_ACCOUNTS)
    names = ("received", "loaded", "duplicate", "quarantined", "released")
    reasons = connection.execute(
        "SELECT reason, count(*) FROM pipeline.quarantine WHERE feed = %s GROUP BY 1 ORDER BY 1",
        (feed.name,),
    ).fetchall()
    return Findings(
        accepted=ask("SELECT count(DISTINCT quarantine) FROM sent WHERE answer = 'accepted'")[0],
        lost=ask(_LOST)[0],
        without_row=ask(_WITHOUT_ROW)[0],
        rows=ask("SELECT count(*) FROM found")[0],
        events=ask(f"SELECT count(DISTINCT place / {PLACES}) FROM found")[0],  # noqa: S608 - a number
        ledger=ask("SELECT count(*) FROM pipeline.ledger WHERE feed = %(feed)s")[0],
        strangers=ask(_STRANGERS)[0],
        quarantined=dict(reasons),
        left=ask("SELECT count(*) FROM pipeline.quarantine_left WHERE feed = %(feed)s")[0],
        batches=batches,
        account=dict(zip(names, sums, strict=True)),
        crooked=crooked,
    )


def _copy_in(
    connection: psycopg.Connection, sent: Iterable[Record], waiting: Iterable[Mark]
) -> None:
    with connection.cursor() as cursor:
        with cursor.copy("COPY sent FROM STDIN") as target:
            for each in sent:
                mark = each.mark
                target.write_row(
                    (each.answer.value, each.number, each.place, mark.key, mark.content,
                     mark.quarantine)
                )  # fmt: skip
        with cursor.copy("COPY waiting FROM STDIN") as target:
            for mark in waiting:
                target.write_row((mark.quarantine,))
