"""The rules for the warehouse: it answers, it is of this code's version, it keeps no values."""

from collections.abc import Iterator, Sequence
from contextlib import closing

import psycopg

from pipeline.contract import Feed
from pipeline.errors import KeyringError, TableMismatch
from pipeline.operate.start_up.clocks import ahead_of_us, check_clock
from pipeline.operate.start_up.finding import Finding, unavailable
from pipeline.operate.start_up.runs import check_connections
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.resources.postgres_trust import may_be_another
from pipeline.resources.settings import CUSTODIAN_URL, OWNER_URL, POSTGRES_URL
from pipeline.warehouse.log_settings import find_risks
from pipeline.warehouse.schema import HEAD, SCHEMA, find_version, has_table, is_newer
from pipeline.warehouse.tables import compare_keyring, recall_fingerprint

_WHERE = "warehouse"

# What is left of each limit: of the server for those without a right to the reserves (the second
# is there since version 16), of the database, and of the log-in. What another role's session is
# shows only to who may see it; that it is in a database shows to all.
FREE = """
SELECT least(
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0)
        - (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL
            AND coalesce(backend_type, 'client backend') = 'client backend'),
    (SELECT nullif(datconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity s
        WHERE s.datid = d.oid) FROM pg_database d WHERE datname = current_database()),
    (SELECT nullif(rolconnlimit, -1) - (SELECT count(*) FROM pg_stat_activity s
        WHERE s.usesysid = r.oid) FROM pg_roles r WHERE rolname = session_user)
) + 1  -- this one goes
"""


def check_trust(outside: Outside) -> Iterator[Finding]:
    """The URLs by which whoever answers is given the password and the rows."""
    urls = {
        POSTGRES_URL: outside.postgres_url,
        CUSTODIAN_URL: outside.custodian,
        OWNER_URL: outside.owner,
    }
    for setting, url in urls.items():
        if url is not None and may_be_another(url):
            yield Finding(
                "warning",
                setting,
                "whoever answers at that address is taken for the warehouse",
                "Add sslmode=verify-full to it, and sslrootcert for a private authority"
                " (docs/postgres-tls.md)",
            )


def check_warehouse(outside: Outside, feeds: Sequence[Feed]) -> Iterator[Finding]:
    """What is wrong with the warehouse and with the keyring that it was filled with.

    Raises:
        WarehouseError: It does not answer, or refuses.
    """
    with postgres.translated(), closing(postgres.connect(outside.postgres_url)) as connection:
        connection.autocommit = True
        version = find_version(connection)
        yield from _version(connection, version)
        yield from check_clock(_WHERE, ahead_of_us(connection))
        for risk in find_risks(connection):
            yield Finding(
                "warning", _WHERE, "its log may keep rows and values", f"{risk} (docs/privacy.md)"
            )
        row = connection.execute(FREE).fetchone()
        yield from check_connections(feeds, 0 if row is None else int(row[0]))
        yield from _keyring(outside, connection)


def _version(connection: psycopg.Connection, found: str | None) -> Iterator[Finding]:
    if found is None:
        yield Finding(
            "warning", _WHERE, "it has no tables yet", "Run `pipeline migrate`, or let a run do it"
        )
    elif found < HEAD:
        yield Finding(
            "error",
            _WHERE,
            f"our own tables are of version {found}, this code needs {HEAD}",
            "Run `pipeline migrate` with the owner's log-in",
        )
    else:
        try:
            is_newer(connection, found)
        except TableMismatch as error:
            yield Finding(
                "error", _WHERE, error.what, "Deploy the newer code: this one receives nothing"
            )


def _keyring(outside: Outside, connection: psycopg.Connection) -> Iterator[Finding]:
    """Whether the keyring can be had and is the warehouse's (fault 70)."""
    made = has_table(connection, SCHEMA, "keyring")
    is_new = not made or recall_fingerprint(connection) is None
    try:
        keyring = outside.keyring.load()
        if not is_new:
            compare_keyring(connection, keyring)
    except KeyringError as error:
        if is_new:  # the first run makes it
            yield Finding("warning", "keyring", error.what, "Run `pipeline keys make`")
        else:
            yield unavailable("keyring", error)
