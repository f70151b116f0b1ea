"""Running totals of each feed, which stay when old accounts go: docs/metrics.md."""

from alembic import op

from pipeline.warehouse.schema import no_way_back

revision = "0006"
down_revision = "0005"

# A total is the sum over the slots of its feed: whoever commits takes a slot that nobody holds, so
# that no batch waits for another one's commit, and none for a client that has died in the middle.
_TABLES = """
ALTER TABLE pipeline.account ADD COLUMN reasons jsonb NOT NULL DEFAULT '{}';
CREATE TABLE pipeline.total (
    feed text NOT NULL,
    slot bigint GENERATED ALWAYS AS IDENTITY,
    batches bigint NOT NULL DEFAULT 0,
    received bigint NOT NULL DEFAULT 0,
    loaded bigint NOT NULL DEFAULT 0,
    duplicate bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    released bigint NOT NULL DEFAULT 0,
    reasons jsonb NOT NULL DEFAULT '{}',
    runs jsonb NOT NULL DEFAULT '{}',
    seconds jsonb NOT NULL DEFAULT '{}',
    committed_at timestamptz,
    succeeded_at timestamptz,
    oldest_seconds double precision,
    PRIMARY KEY (feed, slot)
) WITH (fillfactor = 50);
INSERT INTO pipeline.total
    (feed, batches, received, loaded, duplicate, quarantined, released, committed_at)
SELECT feed, count(*), sum(received), sum(loaded), sum(duplicate), sum(quarantined),
       sum(released), max(committed_at)
FROM pipeline.account GROUP BY feed;
"""

_ADDING = """
CREATE FUNCTION pipeline.sum_by_name(one jsonb, other jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(jsonb_object_agg(summed.name, summed.value), '{}') FROM (
        SELECT given.name, sum(given.value::numeric) AS value
        FROM (SELECT * FROM jsonb_each_text(one) UNION ALL SELECT * FROM jsonb_each_text(other))
             AS given (name, value)
        GROUP BY given.name
    ) AS summed
$$;

CREATE FUNCTION pipeline.take_slot(feed text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken bigint;
BEGIN
    SELECT total.slot INTO taken FROM pipeline.total WHERE total.feed = take_slot.feed
    ORDER BY total.slot LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO pipeline.total (feed) VALUES (take_slot.feed) RETURNING total.slot INTO taken;
    END IF;
    RETURN taken;
END $$;

CREATE FUNCTION pipeline.add_account() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken CONSTANT bigint := pipeline.take_slot(NEW.feed);
BEGIN
    UPDATE pipeline.total SET
        batches = total.batches + 1,
        received = total.received + NEW.received,
        loaded = total.loaded + NEW.loaded,
        duplicate = total.duplicate + NEW.duplicate,
        quarantined = total.quarantined + NEW.quarantined,
        released = total.released + NEW.released,
        reasons = CASE WHEN NEW.reasons = '{}' THEN total.reasons
                       ELSE pipeline.sum_by_name(total.reasons, NEW.reasons) END,
        committed_at = greatest(total.committed_at, NEW.committed_at)
    WHERE total.feed = NEW.feed AND total.slot = taken;
    RETURN NULL;
END $$;
CREATE TRIGGER add_up AFTER INSERT ON pipeline.account
    FOR EACH ROW EXECUTE FUNCTION pipeline.add_account();

CREATE FUNCTION pipeline.add_run(
    feed text, outcome text, seconds jsonb, oldest_seconds double precision
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    taken bigint;
BEGIN
    IF feed IS NULL OR (length(outcome) BETWEEN 1 AND 64) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP021', MESSAGE = 'a run has a feed and an outcome',
            HINT = 'Nothing was counted';
    END IF;
    taken := pipeline.take_slot(add_run.feed);
    UPDATE pipeline.total SET
        runs = pipeline.sum_by_name(total.runs, jsonb_build_object(add_run.outcome, 1)),
        seconds = pipeline.sum_by_name(total.seconds, coalesce(add_run.seconds, '{}')),
        succeeded_at = CASE WHEN add_run.outcome = 'success' THEN now()
                            ELSE total.succeeded_at END,
        oldest_seconds = CASE WHEN add_run.outcome = 'success' THEN add_run.oldest_seconds
                              ELSE total.oldest_seconds END
    WHERE total.feed = add_run.feed AND total.slot = taken;
END $$;
REVOKE ALL ON FUNCTION pipeline.sum_by_name, pipeline.take_slot, pipeline.add_account,
    pipeline.add_run FROM PUBLIC;
"""


def upgrade() -> None:
    """Makes the table, fills it from the accounts that there are, and has it kept up."""
    for step in (_TABLES, _ADDING):
        op.execute(step)


def downgrade() -> None:
    """Refuses."""
    no_way_back()
