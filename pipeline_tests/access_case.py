"""What the tests of roles share: what each may do with each object, and log-ins to try it."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

import psycopg

from pipeline.warehouse.access import ROLES
from pipeline_tests.outside_world import ask

EVERYBODY: Final = (*ROLES, "public")

QUARANTINE: Final = "feed key message_id reason field receive_count sent_at"
ACCOUNT: Final = "batch_id feed run_id received loaded duplicate quarantined released reasons"

MATRIX: Final[dict[str, dict[str, dict[str, str]]]] = {
    # object: role: what it may; with columns, those only. Who is not named may nothing.
    "pipeline.ledger": {"loader": {"SELECT": "*", "INSERT": "feed key content"}},
    "pipeline.quarantine": {
        "loader": {
            "SELECT": f"{QUARANTINE} quarantined_at",
            "INSERT": f"{QUARANTINE} event_id_sealed body_sealed",
        },
        "custodian": {"SELECT": f"{QUARANTINE} quarantined_at"},
        "auditor": {"SELECT": f"{QUARANTINE} quarantined_at"},
        "monitor": {"SELECT": "feed reason field quarantined_at"},
    },
    "pipeline.quarantine_taken": {},
    "pipeline.quarantine_left": {"loader": {"SELECT": "*"}, "auditor": {"SELECT": "*"}},
    "pipeline.account": {
        "loader": {"SELECT": "*", "INSERT": ACCOUNT},
        "auditor": {"SELECT": "*"},
        "monitor": {"SELECT": "*"},
    },
    "pipeline.total": {"monitor": {"SELECT": "*"}},
    "pipeline.total_slot_seq": {},
    "pipeline.keyring": {
        "loader": {"SELECT": "fingerprint", "INSERT": "fingerprint"},
        "custodian": {"SELECT": "fingerprint"},
    },
    "pipeline.keyring_version": {
        "loader": {"SELECT": "*", "INSERT": "*"},
        "custodian": {"SELECT": "*"},
    },
    "pipeline.vault": {"loader": {"INSERT": "feed field token subject sealed"}},
    "pipeline.forgotten": {
        "loader": {"SELECT": "feed field subject"},
        "auditor": {"SELECT": "*"},
    },
    "pipeline.audit": {"auditor": {"SELECT": "*"}},
    "pipeline.fetch": {"loader": {"SELECT": "*", "INSERT": "*", "UPDATE": "*"}},
    "pipeline.fetch_page": {"loader": {"SELECT": "*", "INSERT": "*", "UPDATE": "*"}},
    "pipeline.fetch_source": {"loader": {"SELECT": "*", "INSERT": "*", "UPDATE": "*"}},
    "pipeline.idempotency": {
        "producer": {"SELECT": "*", "INSERT": "*", "UPDATE": "*", "DELETE": "*"}
    },
    "pipeline.schema_version": {
        "loader": {"SELECT": "*"},
        "producer": {"SELECT": "*"},
        "monitor": {"SELECT": "*"},
    },
    "public.user_logins": {
        "loader": {"SELECT": "*", "INSERT": "*"},
        "analyst": {"SELECT": "*"},
        "custodian": {"SELECT": "*", "DELETE": "*"},
    },
    "lab.readings": {
        "loader": {"SELECT": "*", "INSERT": "*"},
        "analyst": {"SELECT": "*"},
        "custodian": {"SELECT": "*", "DELETE": "*"},
    },
    "pipeline.audit_id_seq": {},
    "pipeline.request_unmask(text,text,text[],text,text)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.ask_unmask(text,text,text[],text,text)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.read_request(uuid)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.open_request(uuid)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.forget(text,text,bytea[],text[],text,text)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.record(text,text,text,text[],text,text,text)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.write_audit(uuid,text,text,text,text[],text,text,text)": {},
    "pipeline.write_request(text,text,text,text[],text,text)": {},
    "pipeline.refuse_change()": {},
    "pipeline.request_quarantined(text,text,bytea[],text[],interval,text,text)": {
        "custodian": {"EXECUTE": "*"}
    },
    "pipeline.read_look(uuid)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.open_quarantined(uuid)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.take_quarantined(uuid,bytea)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.settle_taken(uuid,bytea[])": {"custodian": {"EXECUTE": "*"}},
    "pipeline.purge_quarantined(uuid,bytea,integer)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.close_request(uuid,text)": {"custodian": {"EXECUTE": "*"}},
    "pipeline.find_request(uuid,text,interval)": {},
    "pipeline.lock_chosen(uuid,text,bytea,integer)": {},
    "pipeline.refuse_taken()": {},
    "pipeline.prune(text,integer,timestamp with time zone,integer)": {"loader": {"EXECUTE": "*"}},
    "pipeline.add_run(text,text,jsonb,double precision)": {"loader": {"EXECUTE": "*"}},
    "pipeline.add_account()": {},
    "pipeline.take_slot(text)": {},
    "pipeline.sum_by_name(jsonb,jsonb)": {},
    "schema pipeline": {
        "loader": {"USAGE": "*"},
        "producer": {"USAGE": "*"},
        "custodian": {"USAGE": "*"},
        "auditor": {"USAGE": "*"},
        "monitor": {"USAGE": "*"},
    },
    "schema lab": {
        "loader": {"USAGE": "*"},
        "analyst": {"USAGE": "*"},
        "custodian": {"USAGE": "*"},
    },
    # As Postgres makes them: everybody may come in, look for names, and keep temporary tables.
    "schema public": {role: {"USAGE": "*"} for role in EVERYBODY},
    "database": {role: {"CONNECT": "*", "TEMPORARY": "*"} for role in EVERYBODY},
}
PRIVILEGES: Final = {
    "table": (
        "SELECT",
        "INSERT",
        "UPDATE",
        "DELETE",
        "TRUNCATE",
        "REFERENCES",
        "TRIGGER",
        "MAINTAIN",
    ),
    "sequence": ("USAGE", "SELECT", "UPDATE"),
    "function": ("EXECUTE",),
    "schema": ("USAGE", "CREATE"),
    "database": ("CONNECT", "TEMPORARY", "CREATE"),
}
BY_COLUMN: Final = ("SELECT", "INSERT", "UPDATE", "REFERENCES")

_OBJECTS: Final = """
SELECT kind, name FROM (
    SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
           n.nspname || '.' || relname AS name, n.nspname
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
    UNION ALL
    SELECT 'function', n.nspname || '.' || proname || '('
           || array_to_string(array(SELECT format_type(t, NULL) FROM unnest(proargtypes) t), ',')
           || ')', n.nspname
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    UNION ALL SELECT 'schema', 'schema ' || nspname, nspname FROM pg_namespace
) AS found
WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
UNION ALL SELECT 'database', 'database'
ORDER BY 1, 2
"""
_COLUMNS: Final = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""

_MAINTAINED: Final = 170_000  # the version of Postgres that knows MAINTAIN
_serial: Final = itertools.count(1)


@contextmanager
def member_of(url: str, *roles: str, attributes: str = "") -> Iterator[str]:
    """The URL of a new log-in, which goes with the test.

    Args:
        url: The warehouse, with a log-in that may make others.
        *roles: What it is a member of; nothing makes it one of the public.
        attributes: What else it may, such as CREATEROLE.
    """
    name = f"somebody_{next(_serial)}"
    joined = f"IN ROLE {', '.join(roles)}" if roles else ""
    ask(url, f"CREATE ROLE {name} LOGIN {attributes} PASSWORD 'open' {joined}")
    place = urlsplit(url)
    try:
        yield place._replace(netloc=f"{name}:open@{place.hostname}:{place.port}").geturl()
    finally:
        ask(url, f"DROP OWNED BY {name} CASCADE; DROP ROLE {name}")


def objects(url: str) -> list[tuple[str, str]]:
    """Every object that is not Postgres's: its kind and its name."""
    return [(kind, name) for kind, name in ask(url, _OBJECTS)]


def columns(url: str, table: str) -> list[str]:
    return [name for (name,) in ask(url, _COLUMNS, table)]


def wanted(url: str, role: str) -> set[tuple[str, str]]:
    """What the matrix allows a role: (privilege, object or object.column)."""
    allowed = set()
    for name, roles in MATRIX.items():
        for privilege, which in roles.get(role, {}).items():
            if which == "*":
                allowed.add((privilege, name))
            if privilege in BY_COLUMN:
                named = columns(url, name) if which == "*" else which.split()
                allowed |= {(privilege, f"{name}.{column}") for column in named}
    return allowed


def assert_matrix(url: str) -> None:
    """The catalog says of every role and every object what the matrix says, and nothing else."""
    found = objects(url)
    assert {name for _, name in found} == set(MATRIX)
    for role in EVERYBODY:
        assert by_catalog(url, role, found) == wanted(url, role), role


def by_catalog(url: str, role: str, found: list[tuple[str, str]]) -> set[tuple[str, str]]:
    """What Postgres says that a role may."""
    has = set()
    with psycopg.connect(url) as connection:
        database = connection.info.dbname
        for kind, name in found:
            plain = database if kind == "database" else name.removeprefix("schema ")
            for privilege in PRIVILEGES[kind]:
                if privilege == "MAINTAIN" and connection.info.server_version < _MAINTAINED:
                    continue
                check = f"SELECT has_{kind}_privilege(%s, %s, %s)".encode()
                if connection.execute(check, (role, plain, privilege)).fetchone() == (True,):
                    has.add((privilege, name))
            for column in columns(url, name) if kind == "table" else ():
                for privilege in BY_COLUMN:
                    check = b"SELECT has_column_privilege(%s, %s, %s, %s)"
                    asked = (role, plain, column, privilege)
                    if connection.execute(check, asked).fetchone() == (True,):
                        has.add((privilege, f"{name}.{column}"))
    return has
