"""What goes wrong within Postgres: read-only, full, a table locked, no connection left."""

import contextlib
from collections.abc import Callable
from typing import Final

import psycopg
from psycopg import sql

from pipeline.contract import Feed
from pipeline.warehouse.tables import table_name

Mend = Callable[[], object]
"""Ends a fault; to be tried again where it raises `psycopg.Error`, as while Postgres is down."""

# We write even where nobody else may, and wait for nobody long.
_OURS: Final = "-c default_transaction_read_only=off -c lock_timeout=2s -c statement_timeout=5s"
# A run has its constraints checked as soon as its rows are staged. The account comes after that,
# and whoever writes it has them wait for the commit again.
_FULL: Final = """
CREATE OR REPLACE FUNCTION public.chaos_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_WHEN = 'BEFORE' THEN
        SET CONSTRAINTS ALL DEFERRED;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file';
END $$
"""
_WAITS: Final = """
CREATE TRIGGER chaos_waits BEFORE INSERT ON pipeline.account
    FOR EACH ROW WHEN (NEW.feed = {feed}) EXECUTE FUNCTION public.chaos_full()
"""
_REFUSES: Final = """
CREATE CONSTRAINT TRIGGER chaos_refuses AFTER INSERT ON pipeline.account
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.feed = {feed}) EXECUTE FUNCTION public.chaos_full()
"""


class Outages:
    """Breaks a server from within, past the proxy.

    Args:
        url: Tells where the server is now.
    """

    def __init__(self, url: Callable[[], str]) -> None:
        self._url = url

    def read_only(self) -> Mend:
        """Refuses every write, as a server does after a failover."""
        self._do("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        return lambda: self._do(
            "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"
        )

    def no_connections(self) -> Mend:
        """Takes every connection that is left; there must be one."""
        taken = contextlib.ExitStack()
        taken.enter_context(contextlib.closing(self._connect()))
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                taken.enter_context(contextlib.closing(self._connect()))
        return taken.close

    def lock(self, feed: Feed) -> Mend:
        """Locks the table of a feed, as a migration does."""
        connection = self._connect()
        try:
            connection.execute(
                sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table_name(feed))
            )
        except psycopg.Error:
            connection.close()
            raise
        return connection.close

    def disk_full(self, feed: Feed) -> Mend:
        """Refuses the commit of every batch of a feed."""
        triggers = (sql.SQL(each).format(feed=feed.name) for each in (_WAITS, _REFUSES))
        self._do(_FULL, *triggers)
        return lambda: self._do("DROP FUNCTION IF EXISTS public.chaos_full() CASCADE")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self._url(), connect_timeout=2, options=_OURS)

    def _do(self, *statements: str | sql.Composed) -> None:
        with contextlib.closing(self._connect()) as connection:
            connection.autocommit = True
            for each in statements:
                connection.execute(each.encode() if isinstance(each, str) else each)
