"""What keeps our own tables from growing for ever: docs/retention.md."""

from alembic import op

from pipeline.warehouse.schema import no_way_back

revision = "0005"
down_revision = "0004"

# A block range index serves only while rows lie in the order of their time: not once the room of
# old ones is filled again. The rows of a batch share one time, so that these are small.
_INDEXES = """
DROP INDEX pipeline.ledger_settled_at;
CREATE INDEX ledger_settled_at ON pipeline.ledger (settled_at);
CREATE INDEX quarantine_quarantined_at ON pipeline.quarantine (quarantined_at);
CREATE INDEX account_committed_at ON pipeline.account (committed_at);
CREATE INDEX audit_at ON pipeline.audit (at);
"""

# The setting only keeps a DELETE by hand from going through by mistake: the owner could set it.
# What is younger goes in no way.
_AUDIT = """
CREATE OR REPLACE FUNCTION pipeline.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_LEVEL = 'ROW' AND TG_OP = 'DELETE'
       AND OLD.at < clock_timestamp() - 1096 * interval '24 hours'
       AND current_setting('pipeline.pruning', true) = 'audit' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'PP001', MESSAGE = 'the audit is only ever added to',
        HINT = 'Nothing was changed';
END $$;
"""

# The floors are here, so that no setting and no caller goes below them. A portion begins where the
# one before it ended: what is dead and not vacuumed yet is not walked over again.
_PRUNING = """
CREATE FUNCTION pipeline.prune(what text, days integer, since timestamptz, portion integer)
RETURNS TABLE (gone bigint, reached timestamptz)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kept record;
BEGIN
    SELECT known.* INTO kept FROM (VALUES
        ('ledger', 'settled_at', 28, ''),
        ('quarantine', 'quarantined_at', 28,
         ', noted AS (INSERT INTO pipeline.quarantine_left (feed, key, quarantined_at, how)'
         ' SELECT feed, key, quarantined_at, ''expired'' FROM gone)'),
        ('quarantine_left', 'left_at', 90, ''),
        ('account', 'committed_at', 90, ''),
        ('audit', 'at', 1096, '')
    ) AS known (name, moment, floor, note) WHERE known.name = what;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PP020', MESSAGE = 'this is not kept for a time',
            HINT = 'Nothing was deleted';
    END IF;
    IF (days BETWEEN kept.floor AND 36500) IS NOT TRUE
       OR (portion BETWEEN 1 AND 100000) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP020',
            MESSAGE = format('what is in %s is kept for at least %s days', kept.name, kept.floor),
            HINT = 'Nothing was deleted';
    END IF;
    PERFORM set_config('pipeline.pruning', kept.name, true);
    EXECUTE format(
        'WITH gone AS (
            DELETE FROM pipeline.%1$I WHERE ctid = ANY (ARRAY(
                SELECT ctid FROM pipeline.%1$I
                WHERE %2$I >= $1 AND %2$I < now() - $2 * interval ''24 hours''
                ORDER BY %2$I LIMIT $3 FOR UPDATE SKIP LOCKED
            )) RETURNING *
        ) %3$s SELECT count(*), max(%2$I) FROM gone', kept.name, kept.moment, kept.note)
    INTO gone, reached USING coalesce(since, '-infinity'), days, portion;
    PERFORM set_config('pipeline.pruning', '', true);
    IF what = 'audit' AND gone > 0 THEN
        PERFORM pipeline.write_audit(gen_random_uuid(), 'prune', '', '', '{}',
            format('kept for %s days', days), 'the job retention',
            format('%s records until %s', gone, reached));
    END IF;
    RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION pipeline.prune FROM PUBLIC;
"""


def upgrade() -> None:
    """Makes the indexes and the function, and lets old records of the audit go by it."""
    for step in (_INDEXES, _AUDIT, _PRUNING):
        op.execute(step)


def downgrade() -> None:
    """Refuses."""
    no_way_back()
