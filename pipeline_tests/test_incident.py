"""docs/incident.md holds: its SQL finds a leaked value in Dagster's storage, and erases it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from pipeline.errors import AuditRefused
from pipeline.feeds.user_logins import FEED
from pipeline.resources import postgres
from pipeline.warehouse.audit import open_request, request_unmask
from pipeline.warehouse.migrate import migrate
from pipeline_tests.audit_case import fill, request
from pipeline_tests.canaries import found_in
from pipeline_tests.outside_world import ask
from pipeline_tests.privacy_case import pg_dump

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "incident.md"
TEXT: Final = DOCUMENT.read_text(encoding="utf-8")
LEAKED: Final = 'leaked "Kq5ß\\7f3a91"'
"""With what JSON writes otherwise: quotes, a backslash, a letter beyond ASCII."""
NEEDLES: Final = {"the value": b"7f3a91"}
READY, SEARCH, WHERE, ERASE, REWRITE, OPEN_DOOR, SHUT_DOOR = re.findall(
    r"^```sql\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE
)


@dg.op(config_schema={"note": str})
def careless(context: dg.OpExecutionContext) -> None:
    """Does all that no op here does."""
    context.log.info("got %s", LEAKED)
    context.log_event(
        dg.AssetMaterialization("rows", metadata={"sample": LEAKED, "rows": {"ip": LEAKED}})
    )
    raise ValueError(LEAKED)


@dg.job
def careless_job() -> None:
    """One careless op."""
    careless()


@pytest.fixture
def instance(warehouse_url: str, home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage in Postgres, beside our own tables."""
    migrate(warehouse_url, [FEED])
    overrides = {
        "telemetry": {"enabled": False},
        "storage": {"postgres": {"postgres_url": warehouse_url}},
    }
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as instance:
        yield instance


@pytest.fixture
def psql(warehouse_url: str) -> Iterator[psycopg.Connection]:
    """A session as the page's reader has it: each statement commits."""
    with closing(psycopg.connect(warehouse_url, autocommit=True)) as connection:
        yield connection


def run(connection: psycopg.Connection, statements: str) -> list[list[tuple[Any, ...]]]:
    """What each of some statements answers that answers with rows."""
    cursor = connection.execute(statements.encode())
    answers = [cursor.fetchall()] if cursor.description else []
    while cursor.nextset():
        answers += [cursor.fetchall()] if cursor.description else []
    return answers


def load(connection: psycopg.Connection) -> None:
    """The forms of the value, made and copied as the page says."""
    made = re.search(r"python3 -c '(.*?)'", TEXT, re.DOTALL)
    how = re.search(r"^\\copy leaked FROM '\S+' (WITH .*)$", TEXT, re.MULTILINE)
    assert made
    assert how
    forms = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", made[1]],
        input=f"{LEAKED}\n",
        start_new_session=True,  # without a terminal, which would be asked in place of the input
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    run(connection, READY)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY leaked FROM STDIN {how[1]}".encode()) as copy,
    ):
        copy.write(forms.stdout)


def test_a_leaked_value_is_found_and_erased(
    instance: dg.DagsterInstance, psql: psycopg.Connection, warehouse_url: str
) -> None:
    result = careless_job.execute_in_process(
        instance=instance,
        run_config={"ops": {"careless": {"config": {"note": LEAKED}}}},
        tags={"who": LEAKED, "stays": "Ann"},
        raise_on_error=False,
    )
    assert not result.success
    assert found_in(pg_dump(warehouse_url), NEEDLES)
    load(psql)

    (places,) = run(psql, SEARCH)
    assert {(table, column) for _, table, column, _ in places} == {
        ("asset_keys", "last_materialization"),
        ("event_logs", "event"),
        ("run_tags", "value"),
        ("runs", "run_body"),
    }
    (events,) = run(psql, WHERE)
    assert {event[0] for event in events} == {result.run_id}

    assert run(psql, ERASE) == [[]]
    assert not found_in(pg_dump(warehouse_url), NEEDLES)
    # Dagster reads what is left.
    assert "got [erased]" in [each.user_message for each in instance.all_logs(result.run_id)]
    kept = instance.get_run_by_id(result.run_id)
    assert kept
    assert (kept.tags["who"], kept.tags["stays"]) == ("[erased]", "Ann")
    for statement in REWRITE.strip().split("\n"):
        run(psql, statement)


def test_breaking_the_glass_leaves_its_record(warehouse_url: str, psql: psycopg.Connection) -> None:
    """The log-in opens as a custodian's does, then no more; what it did stays."""
    migrate(warehouse_url, [FEED])
    fill(warehouse_url)
    run(psql, OPEN_DOOR)
    psql.execute(sql.SQL("ALTER ROLE break_glass PASSWORD 'open'"))
    place = urlsplit(warehouse_url)
    login = place._replace(netloc=f"break_glass:open@{place.hostname}:{place.port}").geturl()
    with closing(postgres.connect(login)) as connection:
        number = request_unmask(connection, request("v1.ann"))
        assert open_request(connection, number) == [("v1.ann", b"v1.ann")]
        *_, records = run(psql, SHUT_DOOR)
        with pytest.raises((psycopg.Error, AuditRefused)):
            connection.execute("SELECT 1")

    assert [(row[1], row[4]) for row in records] == [("unmask", "v1.ann")]
    assert ask(warehouse_url, "SELECT db_user FROM pipeline.audit") == [("break_glass",)]
    assert ask(warehouse_url, "SELECT FROM pg_roles WHERE rolname = 'break_glass'") == []
