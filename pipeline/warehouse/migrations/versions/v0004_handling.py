"""What handling the quarantine needs: the functions of custodians, and what has left it.

As with the vault, the record of a request is committed before anything is opened or taken:
docs/decisions/0008-the-audit-record-comes-first.md.
"""

from alembic import op

from pipeline.warehouse.schema import no_way_back

revision = "0004"
down_revision = "0003"

# What is taken is on its way to the queue. It goes on or back within the transaction that took it:
# no other one ever sees a row of that table.
_TABLES = """
ALTER TABLE pipeline.quarantine ADD COLUMN event_id_sealed bytea;
CREATE TABLE pipeline.quarantine_taken (
    LIKE pipeline.quarantine,
    request uuid NOT NULL,
    PRIMARY KEY (feed, key)
);
CREATE TABLE pipeline.quarantine_left (
    feed text NOT NULL,
    key bytea NOT NULL,
    quarantined_at timestamptz NOT NULL,
    left_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    how text NOT NULL CHECK (how IN ('redriven', 'purged', 'expired')),
    request uuid
);
CREATE INDEX quarantine_left_found ON pipeline.quarantine_left (feed, quarantined_at);
CREATE INDEX quarantine_left_at ON pipeline.quarantine_left (left_at);
"""

_NOTHING_STAYS_TAKEN = """
CREATE FUNCTION pipeline.refuse_taken() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM pipeline.quarantine_taken AS taken
               WHERE taken.feed = NEW.feed AND taken.key = NEW.key) THEN
        RAISE EXCEPTION USING ERRCODE = 'PP008',
            MESSAGE = 'what was taken from the quarantine was neither sent nor put back',
            HINT = 'Nothing was changed';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER nothing_stays AFTER INSERT ON pipeline.quarantine_taken
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pipeline.refuse_taken();
"""

# A request chooses: its keys stand in the audit as pseudonyms do, the rest in its detail. Only
# what lay there before it is chosen, so that nothing that is quarantined again is taken twice.
_REQUESTS = """
CREATE FUNCTION pipeline.request_quarantined(
    action text, feed text, keys bytea[], reasons text[], age interval, reason text, stated_by text
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before CONSTANT timestamptz :=
        clock_timestamp() - greatest(coalesce(age, make_interval()), make_interval());
BEGIN
    IF (action IN ('look', 'look asked', 'redrive', 'purge')) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP006',
            MESSAGE = 'the quarantine is looked at, redriven and purged',
            HINT = 'What else there is has functions of its own';
    END IF;
    IF action IN ('look', 'look asked') AND (cardinality(keys) = 1) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP002', MESSAGE = 'a request is for one look',
            HINT = 'Name one message of the quarantine';
    END IF;
    IF cardinality(keys) NOT BETWEEN 1 AND 1000 OR array_position(keys, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PP002',
            MESSAGE = 'a request names 1 to 1000 messages, or none at all',
            HINT = 'Choose more than that by reason or age';
    END IF;
    IF action = 'purge' AND (age >= make_interval(days => 1)) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP002',
            MESSAGE = 'only what has lain in the quarantine for a day is purged',
            HINT = 'Give an age of a day or more';
    END IF;
    RETURN pipeline.write_audit(
        gen_random_uuid(), action, feed, '',
        (SELECT array_agg(encode(each, 'hex')) FROM unnest(keys) AS each),
        reason, stated_by,
        CASE WHEN action IN ('redrive', 'purge')
             THEN jsonb_build_object('reasons', reasons, 'before', before)::text END);
END $$;

CREATE FUNCTION pipeline.find_request(request uuid, action text, valid interval)
RETURNS TABLE (feed text, keys bytea[], reasons text[], before timestamptz, stated_by text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made record;
    chosen jsonb;
BEGIN
    SELECT asked.* INTO made FROM pipeline.audit AS asked
    WHERE asked.request = find_request.request AND asked.action = find_request.action
      AND asked.db_user = session_user
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PP003', MESSAGE = 'this log-in has made no such request',
            HINT = 'A request is used by whoever made it: make one of your own';
    END IF;
    -- Another one's row shows only once it is committed; savepoints share their transaction's id.
    IF made.transaction = pg_current_xact_id() THEN
        RAISE EXCEPTION USING ERRCODE = 'PP004', MESSAGE = 'the request is not committed yet',
            HINT = 'Commit, then use it in a transaction of its own';
    END IF;
    IF made.at < clock_timestamp() - valid THEN
        RAISE EXCEPTION USING ERRCODE = 'PP005', MESSAGE = 'the request is too old',
            HINT = 'Make a new one';
    END IF;
    chosen := made.detail::jsonb;
    RETURN QUERY SELECT
        made.feed,
        (SELECT array_agg(decode(named.token, 'hex')) FROM pipeline.audit AS named
         WHERE named.request = find_request.request AND named.action = find_request.action
           AND named.token IS NOT NULL),
        CASE WHEN jsonb_typeof(chosen -> 'reasons') = 'array'
             THEN ARRAY(SELECT jsonb_array_elements_text(chosen -> 'reasons')) END,
        (chosen ->> 'before')::timestamptz,
        made.stated_by;
END $$;
"""

_LOOKING = """
CREATE FUNCTION pipeline.read_look(request uuid)
RETURNS TABLE (feed text, key bytea, reason text, stated_by text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT asked.feed, decode(asked.token, 'hex'), asked.reason, asked.stated_by
        FROM pipeline.audit AS asked
        WHERE asked.request = read_look.request AND asked.action = 'look asked'
          AND asked.at > clock_timestamp() - make_interval(days => 1);
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PP003',
            MESSAGE = 'nobody has made such a request within a day',
            HINT = 'Take the number from the run that prepared it, or prepare another';
    END IF;
END $$;

CREATE FUNCTION pipeline.open_quarantined(request uuid)
RETURNS TABLE (message_id text, sent_at timestamptz, event_id_sealed bytea, body_sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT lying.message_id, lying.sent_at, lying.event_id_sealed, lying.body_sealed
        FROM pipeline.find_request(open_quarantined.request, 'look', make_interval(mins => 15))
             AS asked
        JOIN pipeline.quarantine AS lying
             ON lying.feed = asked.feed AND lying.key = ANY (asked.keys);
END $$;
"""

# In the order of their keys, each time from where the last portion ended: what SQS refused is put
# back, and is not taken again. Of two who redrive at once, none waits for the other.
_CHOOSING = """
CREATE FUNCTION pipeline.lock_chosen(request uuid, action text, beyond bytea, most integer)
RETURNS TABLE (feed text, key bytea)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked record;
BEGIN
    SELECT * INTO asked FROM pipeline.find_request(
        lock_chosen.request, lock_chosen.action, make_interval(days => 1));
    RETURN QUERY
        SELECT lying.feed, lying.key
        FROM pipeline.quarantine AS lying
        WHERE lying.feed = asked.feed AND lying.key > beyond
          AND (asked.keys IS NULL OR lying.key = ANY (asked.keys))
          AND (asked.reasons IS NULL OR lying.reason = ANY (asked.reasons))
          AND lying.quarantined_at < asked.before
        ORDER BY lying.key LIMIT most FOR UPDATE SKIP LOCKED;
END $$;
"""

_REDRIVING = """
CREATE FUNCTION pipeline.take_quarantined(request uuid, beyond bytea)
RETURNS TABLE (
    key bytea, message_id text, sent_at timestamptz, event_id_sealed bytea, body_sealed bytea
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    WITH gone AS (
        DELETE FROM pipeline.quarantine AS lying
        USING pipeline.lock_chosen(take_quarantined.request, 'redrive', beyond, 10) AS chosen
        WHERE lying.feed = chosen.feed AND lying.key = chosen.key
        RETURNING lying.*
    )
    INSERT INTO pipeline.quarantine_taken AS taken
        (feed, key, message_id, reason, field, receive_count, sent_at, quarantined_at,
         event_id_sealed, body_sealed, request)
    SELECT gone.feed, gone.key, gone.message_id, gone.reason, gone.field, gone.receive_count,
           gone.sent_at, gone.quarantined_at, gone.event_id_sealed, gone.body_sealed,
           take_quarantined.request
    FROM gone
    RETURNING taken.key, taken.message_id, taken.sent_at, taken.event_id_sealed, taken.body_sealed;
END $$;

CREATE FUNCTION pipeline.settle_taken(request uuid, sent bytea[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF sent IS NULL OR array_position(sent, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PP002', MESSAGE = 'it is not said what was sent',
            HINT = 'Give the keys, or none';
    END IF;
    PERFORM pipeline.find_request(settle_taken.request, 'redrive', make_interval(days => 1));
    INSERT INTO pipeline.quarantine_left (feed, key, quarantined_at, how, request)
    SELECT taken.feed, taken.key, taken.quarantined_at, 'redriven', taken.request
    FROM pipeline.quarantine_taken AS taken
    WHERE taken.request = settle_taken.request AND taken.key = ANY (sent);
    INSERT INTO pipeline.quarantine
        (feed, key, message_id, reason, field, receive_count, sent_at, quarantined_at,
         event_id_sealed, body_sealed)
    SELECT taken.feed, taken.key, taken.message_id, taken.reason, taken.field,
           taken.receive_count, taken.sent_at, taken.quarantined_at, taken.event_id_sealed,
           taken.body_sealed
    FROM pipeline.quarantine_taken AS taken
    WHERE taken.request = settle_taken.request AND taken.key <> ALL (sent);
    DELETE FROM pipeline.quarantine_taken AS taken WHERE taken.request = settle_taken.request;
END $$;
"""

_PURGING = """
CREATE FUNCTION pipeline.purge_quarantined(request uuid, beyond bytea, most integer)
RETURNS TABLE (key bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    WITH gone AS (
        DELETE FROM pipeline.quarantine AS lying
        USING pipeline.lock_chosen(purge_quarantined.request, 'purge', beyond, most) AS chosen
        WHERE lying.feed = chosen.feed AND lying.key = chosen.key
        RETURNING lying.feed, lying.key, lying.quarantined_at
    )
    INSERT INTO pipeline.quarantine_left AS gone_by (feed, key, quarantined_at, how, request)
    SELECT gone.feed, gone.key, gone.quarantined_at, 'purged', purge_quarantined.request FROM gone
    RETURNING gone_by.key;
END $$;
"""

# Dead letters lie on a queue, so what is done with them is recorded, and nothing is opened.
_RECORDS = """
CREATE FUNCTION pipeline.close_request(request uuid, action text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    asked record;
    messages bigint;
BEGIN
    SELECT * INTO asked
    FROM pipeline.find_request(
        close_request.request, close_request.action, make_interval(days => 1));
    SELECT count(*) INTO messages FROM pipeline.quarantine_left AS gone
    WHERE gone.request = close_request.request;
    PERFORM pipeline.write_audit(
        close_request.request, close_request.action || ' done', asked.feed, '', NULL,
        'the end of the request', asked.stated_by, jsonb_build_object('messages', messages)::text);
    RETURN messages;
END $$;

CREATE OR REPLACE FUNCTION pipeline.record(
    action text, feed text, field text, tokens text[], reason text, stated_by text, detail text
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (action IN ('delete', 'rotate', 'redrive dead letters', 'redrive dead letters done'))
       IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP006',
            MESSAGE = 'only delete, rotate and the redrive of dead letters are recorded so',
            HINT = 'What else there is records itself';
    END IF;
    RETURN pipeline.write_audit(
        gen_random_uuid(), action, feed, field, tokens, reason, stated_by, detail);
END $$;
"""


def upgrade() -> None:
    """Makes the tables, what guards them, and the functions."""
    for step in (_TABLES, _NOTHING_STAYS_TAKEN, _REQUESTS, _LOOKING, _CHOOSING):
        op.execute(step)
    for step in (_REDRIVING, _PURGING, _RECORDS):
        op.execute(step)


def downgrade() -> None:
    """Refuses."""
    no_way_back()
