"""The ledger's SQL. Every time is the server's, so that no machine's clock matters."""

from typing import Final

# A range whose run is alive is known by the lock that its session holds: a run that was killed
# holds none. `pg_locks` shows the two halves of a lock's number.
_NUMBER: Final = "hashtextextended('pipeline.fetch:' || source || ':' || range, 0)"
_ALIVE: Final = f"""
range <> %(range)s AND {_NUMBER} IN (
    SELECT classid::bigint << 32 | objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database =
        (SELECT oid FROM pg_database WHERE datname = current_database())
)"""  # noqa: S608 - constants

# A list may name for long what it has no more: that is looked at as often as any other record.
_GONE_LONG: Final = "state = 'gone' AND checked_at <= clock_timestamp() - %(fresh_for)s::interval"

TIE: Final = """
WITH tied AS (
    INSERT INTO pipeline.fetch_source (source, address) VALUES (%(source)s, %(address)s)
    -- What nothing was fetched from yet is no address that could be mixed with another.
    ON CONFLICT (source) DO UPDATE SET address = excluded.address
    WHERE NOT EXISTS (SELECT FROM pipeline.fetch WHERE source = %(source)s)
      AND NOT EXISTS (SELECT FROM pipeline.fetch_page WHERE source = %(source)s)
    RETURNING address
)
SELECT address FROM tied UNION ALL
SELECT address FROM pipeline.fetch_source WHERE source = %(source)s
LIMIT 1
"""

FUTURE: Final = """
SELECT count(*) FROM pipeline.fetch WHERE source = %(source)s
AND greatest(planned_at, fetched_at, sent_at, checked_at, failed_at)
    > clock_timestamp() + interval '1 minute'
"""

# A process that was killed just now may have its session for a moment yet. One whose machine is
# gone would have it for hours, if the server did not ask after it.
PATIENCE: Final = """
SET LOCAL lock_timeout = '2s';
SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3
"""

LOCK: Final = """
SELECT pg_advisory_lock(
    hashtextextended('pipeline.fetch:' || %(source)s || ':' || %(range)s, 0))
"""

COUNTS: Final = """
SELECT state, count(*) FROM pipeline.fetch WHERE source = %(source)s GROUP BY state
"""

STILL_LISTED: Final = """
SELECT count(*) FROM pipeline.fetch WHERE source = %(source)s AND state = 'gone'
AND item IN (SELECT unnest(items) FROM pipeline.fetch_page WHERE source = %(source)s)
"""

FAILURES: Final = """
SELECT item, attempts, reason, failed_at FROM pipeline.fetch
WHERE source = %(source)s AND state = 'failed' ORDER BY failed_at DESC, item LIMIT %(limit)s
"""

FIND_PAGE: Final = """
SELECT count, next, items, etag FROM pipeline.fetch_page
WHERE source = %(source)s AND page = %(page)s
"""

KEEP_PAGE: Final = """
INSERT INTO pipeline.fetch_page (source, page, count, next, items, etag)
VALUES (%(source)s, %(page)s, %(count)s, %(next)s, %(items)s, %(etag)s)
ON CONFLICT (source, page) DO UPDATE SET
    count = excluded.count, next = excluded.next, items = excluded.items, etag = excluded.etag
"""

PLAN: Final = """
INSERT INTO pipeline.fetch (source, item, range, state)
SELECT %(source)s, item, %(range)s, 'planned' FROM unnest(%(items)s::text[]) AS item
ORDER BY item ON CONFLICT DO NOTHING
"""

TAKE_OVER: Final = f"""
UPDATE pipeline.fetch
SET range = %(range)s, state = CASE WHEN {_GONE_LONG} THEN 'planned' ELSE state END
WHERE source = %(source)s AND item = ANY(%(items)s)
AND (range <> %(range)s OR {_GONE_LONG}) AND NOT ({_ALIVE})
"""  # noqa: S608 - as above

TAKE_OVER_FAILED: Final = f"""
UPDATE pipeline.fetch SET range = %(range)s, state = 'planned'
WHERE source = %(source)s AND state IN ('planned', 'fetched', 'failed') AND NOT ({_ALIVE})
"""  # noqa: S608 - as above

DUE: Final = """
SELECT item, versions, etag, content FROM pipeline.fetch
WHERE source = %(source)s AND range = %(range)s AND item > %(after)s AND (
    state IN ('planned', 'fetched')
    OR state = 'sent' AND checked_at <= clock_timestamp() - %(fresh_for)s::interval
    OR state = 'failed' AND failed_at <= clock_timestamp() - %(fresh_for)s::interval
)
ORDER BY item LIMIT %(limit)s
"""

# From here on until it is noted, nobody knows which version the queue has: a tag of the one
# before would have upstream say that nothing has changed, where the queue has another.
FETCHED: Final = """
UPDATE pipeline.fetch
SET state = 'fetched', attempts = %(attempts)s, fetched_at = clock_timestamp(), etag = NULL,
    content = NULL
WHERE source = %(source)s AND item = %(item)s
"""

# The tag, the digest and the number of versions change together: they are of what was sent last.
SENT: Final = """
UPDATE pipeline.fetch AS known
SET state = 'sent', versions = versions + 1, content = taken.content, etag = taken.etag,
    sent_at = clock_timestamp(), checked_at = clock_timestamp(), failed_at = NULL, reason = NULL
FROM unnest(%(items)s::text[], %(contents)s::bytea[], %(etags)s::text[])
    AS taken(item, content, etag)
WHERE known.source = %(source)s AND known.item = taken.item
"""

UNCHANGED: Final = """
UPDATE pipeline.fetch
SET state = 'sent', attempts = %(attempts)s, etag = %(etag)s, checked_at = clock_timestamp(),
    fetched_at = clock_timestamp(), failed_at = NULL, reason = NULL
WHERE source = %(source)s AND item = %(item)s
"""

FAILED: Final = """
UPDATE pipeline.fetch
SET state = 'failed', attempts = coalesce(%(attempts)s, attempts), reason = %(reason)s,
    failed_at = clock_timestamp()
WHERE source = %(source)s AND item = %(item)s
"""

GONE: Final = """
UPDATE pipeline.fetch
SET state = 'gone', attempts = %(attempts)s, checked_at = clock_timestamp(), failed_at = NULL,
    reason = NULL
WHERE source = %(source)s AND item = %(item)s
"""

RESERVE: Final = """
UPDATE pipeline.fetch_source
SET next_at = greatest(next_at, closed_until, clock_timestamp()) + %(interval)s
WHERE source = %(source)s
RETURNING extract(epoch FROM next_at - %(interval)s - clock_timestamp())::float
"""

CLOSED: Final = """
SELECT closed_until > clock_timestamp() FROM pipeline.fetch_source WHERE source = %(source)s
"""

CLOSE: Final = """
UPDATE pipeline.fetch_source
SET closed_until = greatest(closed_until, clock_timestamp() + %(pause)s)
WHERE source = %(source)s
"""
