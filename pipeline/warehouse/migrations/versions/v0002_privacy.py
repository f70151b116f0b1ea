"""The vault, who was forgotten, the audit, and the functions that are the only way to them.

Why a record is committed before the vault opens:
docs/decisions/0008-the-audit-record-comes-first.md.
"""

from alembic import op

from pipeline.warehouse.schema import no_way_back

revision = "0002"
down_revision = "0001"

_TABLES = """
CREATE TABLE pipeline.vault (
    feed text NOT NULL,
    field text NOT NULL,
    token text NOT NULL,
    subject bytea NOT NULL,
    sealed bytea NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, field, token)
);
CREATE INDEX vault_subject ON pipeline.vault (feed, field, subject);
CREATE TABLE pipeline.forgotten (
    feed text NOT NULL,
    field text NOT NULL,
    subject bytea NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (feed, field, subject)
);
CREATE TABLE pipeline.keyring_version (
    version integer PRIMARY KEY,
    fingerprint bytea NOT NULL
);
CREATE TABLE pipeline.audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    db_user text NOT NULL DEFAULT session_user,
    stated_by text NOT NULL,
    action text NOT NULL,
    feed text NOT NULL,
    field text NOT NULL,
    token text,
    reason text NOT NULL,
    detail text,
    transaction xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX audit_request ON pipeline.audit (request);
"""

_APPEND_ONLY = """
CREATE FUNCTION pipeline.refuse_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'PP001', MESSAGE = 'the audit is only ever added to',
        HINT = 'Nothing was changed';
END $$;
CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON pipeline.audit
    FOR EACH ROW EXECUTE FUNCTION pipeline.refuse_change();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON pipeline.audit
    FOR EACH STATEMENT EXECUTE FUNCTION pipeline.refuse_change();
-- Also in a session that plays a replica, in which other triggers rest.
ALTER TABLE pipeline.audit ENABLE ALWAYS TRIGGER keep_rows, ENABLE ALWAYS TRIGGER keep_all;
"""

# Every name is qualified and the path is pinned: nothing that a caller makes is ever found in
# place of what is meant. The user is the session's, which SET ROLE does not change.
_RECORDS = """
CREATE FUNCTION pipeline.write_audit(
    request uuid, action text, feed text, field text, tokens text[], reason text, stated_by text,
    detail text
) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (reason ~ '[^[:space:][:punct:]]') IS NOT TRUE
       OR (stated_by ~ '[^[:space:][:punct:]]') IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP002',
            MESSAGE = 'a request states its reason, and who asks',
            HINT = 'Say why, in words that an auditor will understand';
    END IF;
    IF feed IS NULL OR field IS NULL OR array_position(tokens, NULL) IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'PP002',
            MESSAGE = 'a request names a feed, a field and pseudonyms',
            HINT = 'Give each of them';
    END IF;
    INSERT INTO pipeline.audit (request, action, feed, field, token, reason, stated_by, detail)
    SELECT write_audit.request, write_audit.action, write_audit.feed, write_audit.field,
           each.token, write_audit.reason, write_audit.stated_by, write_audit.detail
    FROM (SELECT DISTINCT token FROM unnest(tokens) AS given (token)
          UNION ALL SELECT NULL WHERE coalesce(cardinality(tokens), 0) = 0) AS each;
    RETURN request;
END $$;

CREATE FUNCTION pipeline.write_request(
    action text, feed text, field text, tokens text[], reason text, stated_by text
) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF coalesce(cardinality(tokens), 0) NOT BETWEEN 1 AND 1000 THEN
        RAISE EXCEPTION USING ERRCODE = 'PP002',
            MESSAGE = 'a request is for 1 to 1000 pseudonyms',
            HINT = 'Ask for fewer at a time';
    END IF;
    RETURN pipeline.write_audit(
        gen_random_uuid(), action, feed, field, tokens, reason, stated_by, NULL);
END $$;

CREATE FUNCTION pipeline.request_unmask(
    feed text, field text, tokens text[], reason text, stated_by text
) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pipeline.write_request('unmask', feed, field, tokens, reason, stated_by)
$$;

CREATE FUNCTION pipeline.ask_unmask(
    feed text, field text, tokens text[], reason text, stated_by text
) RETURNS uuid
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT pipeline.write_request('unmask asked', feed, field, tokens, reason, stated_by)
$$;

CREATE FUNCTION pipeline.record(
    action text, feed text, field text, tokens text[], reason text, stated_by text, detail text
) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF (action IN ('delete', 'rotate')) IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'PP006', MESSAGE = 'only delete and rotate are recorded so',
            HINT = 'What else there is records itself';
    END IF;
    RETURN pipeline.write_audit(
        gen_random_uuid(), action, feed, field, tokens, reason, stated_by, detail);
END $$;
"""

_READING = """
CREATE FUNCTION pipeline.read_request(request uuid)
RETURNS TABLE (feed text, field text, token text, reason text, stated_by text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
        SELECT asked.feed, asked.field, asked.token, asked.reason, asked.stated_by
        FROM pipeline.audit AS asked
        WHERE asked.request = read_request.request AND asked.action = 'unmask asked'
          AND asked.at > clock_timestamp() - make_interval(days => 1)
        ORDER BY asked.id;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PP003',
            MESSAGE = 'nobody has made such a request within a day',
            HINT = 'Take the number from the run that prepared it, or prepare another';
    END IF;
END $$;

CREATE FUNCTION pipeline.open_request(request uuid)
RETURNS TABLE (token text, sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made record;
BEGIN
    SELECT audit.at, audit.transaction INTO made FROM pipeline.audit
    WHERE audit.request = open_request.request AND audit.action = 'unmask'
      AND audit.db_user = session_user
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'PP003', MESSAGE = 'this log-in has made no such request',
            HINT = 'A request is opened by whoever made it: make one of your own';
    END IF;
    -- Another one's row shows only once it is committed; savepoints share their transaction's id.
    IF made.transaction = pg_current_xact_id() THEN
        RAISE EXCEPTION USING ERRCODE = 'PP004', MESSAGE = 'the request is not committed yet',
            HINT = 'Commit, then open it in a transaction of its own';
    END IF;
    IF made.at < clock_timestamp() - make_interval(mins => 15) THEN
        RAISE EXCEPTION USING ERRCODE = 'PP005', MESSAGE = 'the request is older than 15 minutes',
            HINT = 'Make a new one';
    END IF;
    RETURN QUERY
        SELECT asked.token, vault.sealed
        FROM pipeline.audit AS asked
        LEFT JOIN pipeline.vault AS vault
            ON vault.feed = asked.feed AND vault.field = asked.field AND vault.token = asked.token
        WHERE asked.request = open_request.request
        ORDER BY asked.id;
END $$;
"""

_FORGETTING = """
CREATE FUNCTION pipeline.forget(
    feed text, field text, subjects bytea[], tokens text[], reason text, stated_by text
) RETURNS TABLE (token text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made CONSTANT uuid := gen_random_uuid();
    persons bytea[];
    destroyed text[];
    others text[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'PP007',
            MESSAGE = 'this transaction would not see what others commit meanwhile',
            HINT = 'Begin one of the isolation level READ COMMITTED';
    END IF;
    -- Waits for the loads that have looked whom to leave out and the rotations that have read what
    -- they will put back, and holds up those to come.
    LOCK TABLE pipeline.vault IN SHARE ROW EXCLUSIVE MODE;
    SELECT array_agg(subject) INTO persons FROM (
        SELECT unnest(subjects) AS subject
        UNION SELECT vault.subject FROM pipeline.vault
        WHERE vault.feed = forget.feed AND vault.field = forget.field
          AND vault.token = ANY (tokens)
    ) AS found;
    WITH gone AS (
        DELETE FROM pipeline.vault
        WHERE vault.feed = forget.feed AND vault.field = forget.field
          AND vault.subject = ANY (persons)
        RETURNING vault.token
    ) SELECT coalesce(array_agg(gone.token ORDER BY gone.token), '{}') INTO destroyed FROM gone;
    INSERT INTO pipeline.forgotten (feed, field, subject)
    SELECT forget.feed, forget.field, unnest(persons) ON CONFLICT DO NOTHING;
    SELECT array_agg(given.token) INTO others FROM unnest(tokens) AS given (token)
    WHERE (given.token = ANY (destroyed)) IS NOT TRUE;
    IF cardinality(destroyed) > 0 THEN
        PERFORM pipeline.write_audit(
            made, 'forget', feed, field, destroyed, reason, stated_by, 'destroyed');
    END IF;
    IF others IS NOT NULL OR cardinality(destroyed) = 0 THEN
        PERFORM pipeline.write_audit(
            made, 'forget', feed, field, others, reason, stated_by, 'not in the vault');
    END IF;
    RETURN QUERY SELECT unnest(destroyed);
END $$;
"""

# Postgres lets everybody execute a new function, and default privileges may let others do more.
_NOBODYS = """
REVOKE ALL ON SCHEMA pipeline FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pipeline FROM PUBLIC;
DO $$
DECLARE
    given record;
BEGIN
    FOR given IN
        SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
               c.oid::regclass::text AS name, held.grantee::regrole AS role
        FROM pg_class AS c, aclexplode(c.relacl) AS held
        WHERE c.oid IN ('pipeline.vault'::regclass, 'pipeline.forgotten'::regclass,
                        'pipeline.keyring_version'::regclass, 'pipeline.audit'::regclass,
                        'pipeline.audit_id_seq'::regclass)
          AND held.grantee NOT IN (0, c.relowner)
        UNION
        SELECT 'FUNCTION', p.oid::regprocedure::text, held.grantee::regrole
        FROM pg_proc AS p, aclexplode(p.proacl) AS held
        WHERE p.pronamespace = 'pipeline'::regnamespace AND held.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('REVOKE ALL ON %s %s FROM %s', given.kind, given.name, given.role);
    END LOOP;
END $$;
"""


def upgrade() -> None:
    """Makes the tables, what guards them, and the functions."""
    for step in (_TABLES, _APPEND_ONLY, _RECORDS, _READING, _FORGETTING, _NOBODYS):
        op.execute(step)


def downgrade() -> None:
    """Refuses."""
    no_way_back()
