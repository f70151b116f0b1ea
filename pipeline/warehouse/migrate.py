"""Makes and upgrades all tables and grants the rights: what an owner does before a deployment."""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

import psycopg

from pipeline.contract import Feed
from pipeline.errors import TableMismatch
from pipeline.resources import postgres
from pipeline.warehouse import access, schema
from pipeline.warehouse.tables import prepare


@dataclass(frozen=True, slots=True)
class Migration:
    """What became of a warehouse.

    Attributes:
        before: The version of our own tables; None where there were none, or from before versions.
        now: Their version now.
        left_out: Roles that are missing and may not be made, and rights that are another's to
            give; the pipeline works without them, with a log-in that may do everything.
    """

    before: str | None
    now: str
    left_out: tuple[str, ...]


def migrate(url: str, feeds: Iterable[Feed]) -> Migration:
    """Brings our own tables to this code's version, makes the feeds' tables, grants the rights.

    Args:
        url: The warehouse, with the log-in that owns our tables, or is to own them.
        feeds: Whose tables are made, or held against their contract.

    Raises:
        WarehouseUnavailable: Postgres is down or takes no writes.
        TableMismatch: The warehouse is newer than this code, the log-in does not own our tables,
            or a feed's table differs from its contract; then nothing was changed.
    """
    with closing(postgres.connect(url)) as connection, postgres.translated(), connection:
        try:
            return _migrate(connection, feeds)
        except psycopg.errors.InsufficientPrivilege:
            raise schema.not_ours_to_make("our own tables are not this log-in's") from None


def _migrate(connection: psycopg.Connection, feeds: Iterable[Feed]) -> Migration:
    schema.lock(connection)
    before = schema.find_version(connection)
    if schema.is_newer(connection, before):
        # What this code knows of rights would take away those of the newer code.
        raise TableMismatch(
            f"our own tables are of version {before}, this code only works with them",
            remedy="Migrate with the newer code; nothing was changed",
        )
    schema.upgrade(connection)
    left_out = [*access.grant_own(connection)]
    for feed in feeds:
        prepare(connection, feed)
        left_out += access.grant_feed(connection, feed)
    return Migration(before, schema.HEAD, tuple(left_out))
