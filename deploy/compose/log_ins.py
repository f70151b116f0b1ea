"""Makes databases and log-ins from the secret files, as a superuser: run by the service log-ins.

It may be run as often as one likes: a password that was changed in its file is the log-in's from
then on. docs/roles.md says what each may do; `pipeline migrate` grants it.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, LiteralString, Self
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from pipeline import safeguards
from pipeline.warehouse.access import ROLES

GROUPS: Final[Mapping[str, str | None]] = {
    "owner_url": None,
    "loader_url": "loader",
    "producer_url": "producer",
    "custodian_url": "custodian",
    "analyst_url": "analyst",
    "monitor_url": "monitor",
    "dagster_url": None,
}
"""File: the group that its log-in is a member of."""

OWNER: Final = "owner_url"
DAGSTER: Final = "dagster_url"


@dataclass(frozen=True, slots=True)
class LogIn:
    """What a URL says.

    Attributes:
        name: Of the log-in.
        password: Its password.
        database: The one that it is for.
    """

    name: str
    password: str = field(repr=False)
    database: str

    @classmethod
    def of(cls, url: str) -> Self:
        """What that URL says."""
        parts = urlsplit(url)
        password = unquote(parts.password or "")
        return cls(parts.username or "", password, parts.path.removeprefix("/"))


def main(folder: Path) -> None:
    """Makes them all; where the server is, and as whom, say libpq's own variables.

    Args:
        folder: Holds the files.
    """
    there = {name: LogIn.of((folder / name).read_text()) for name in GROUPS}
    owner, dagster = there[OWNER], there[DAGSTER]
    password = (folder / "superuser_password").read_text()
    with psycopg.connect(password=password, autocommit=True) as server:
        for group in {*ROLES, *filter(None, GROUPS.values())}:
            _make(server, group)
        for name, log_in in there.items():
            _let_in(server, log_in)
            if belongs := GROUPS[name]:
                _do(server, "GRANT {} TO {}", belongs, log_in.name)
        _do(server, "ALTER ROLE {} CREATEROLE", owner.name)
        for each in (owner, dagster):
            _database(server, each.database)
        _do(server, "ALTER DATABASE {} OWNER TO {}", dagster.database, dagster.name)
        # With the option, so that `pipeline migrate` gives the groups theirs.
        grant = "GRANT CREATE, CONNECT, TEMPORARY ON DATABASE {} TO {} WITH GRANT OPTION"
        _do(server, grant, owner.database, owner.name)
    with psycopg.connect(password=password, dbname=owner.database, autocommit=True) as warehouse:
        grant = "GRANT USAGE, CREATE ON SCHEMA public TO {} WITH GRANT OPTION"
        _do(warehouse, grant, owner.name)
    sys.stdout.write(f"log-ins: {', '.join(each.name for each in there.values())}\n")


def _make(server: psycopg.Connection, role: str) -> None:
    if server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
        _do(server, "CREATE ROLE {} NOLOGIN", role)


def _let_in(server: psycopg.Connection, log_in: LogIn) -> None:
    """Gives a log-in its password, as a digest that is made here: no statement ever holds it."""
    _make(server, log_in.name)
    password, name = log_in.password.encode(), log_in.name.encode()
    digest = server.pgconn.encrypt_password(password, name, b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
    server.execute(statement.format(sql.Identifier(log_in.name), sql.Literal(digest)))


def _database(server: psycopg.Connection, name: str) -> None:
    known = server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if known is None:
        _do(server, "CREATE DATABASE {}", name)
    _do(server, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)


def _do(server: psycopg.Connection, statement: LiteralString, *names: str) -> None:
    server.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


if __name__ == "__main__":
    safeguards.install()
    main(Path(sys.argv[1]))
