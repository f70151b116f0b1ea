"""A setting that lets rows into Postgres's log is named, and the embedded server has none."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, LiteralString

import psycopg
import pytest
from psycopg import sql

from pipeline.warehouse.log_settings import find_risks

TIGHT: Final = {
    "log_min_messages": "fatal",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_duration_sample": "-1",
    "log_transaction_sample_rate": "0",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
}
LOOSE: Final = {
    "log_min_messages": ("warning", "error", "debug1"),
    "log_error_verbosity": ("default", "verbose"),
    "log_min_error_statement": ("error", "warning"),
    "log_parameter_max_length": ("-1", "64"),
    "log_parameter_max_length_on_error": ("-1", "64"),
    "log_statement": ("mod", "all"),
    "log_min_duration_statement": ("0", "1000"),
    "log_min_duration_sample": ("0", "100"),
    "log_transaction_sample_rate": ("0.5", "1"),
    "debug_print_parse": ("on",),
    "debug_print_rewritten": ("on",),
    "debug_print_plan": ("on",),
}
HARMLESS: Final = {"log_statement": "ddl", "log_duration": "on", "log_lock_waits": "on"}


@pytest.fixture
def database(warehouse_url: str) -> "Database":
    """A database whose settings may be loosened: they go when it goes."""
    return Database(warehouse_url)


class Database:
    """A database of its own on the embedded server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def set(self, settings: Mapping[str, str]) -> None:
        """Sets it for all connections to come."""
        name = sql.Identifier(self._url.rpartition("/")[2])
        with psycopg.connect(self._url, autocommit=True) as connection:
            for setting, value in settings.items():
                connection.execute(
                    sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                        name,
                        sql.SQL(setting),
                        sql.Literal(value),
                    )
                )

    def risks(self) -> list[str]:
        """What is found by a new connection."""
        with psycopg.connect(self._url) as connection:
            return find_risks(connection)

    def logs(self, statement: LiteralString, *parameters: str) -> bool:
        """Whether a word lands in the server's log, from a statement that may well fail."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            ((data,),) = connection.execute("SHOW data_directory").fetchall()
            log = Path(data).parents[1] / "postgres.log"
            before = log.stat().st_size
            with suppress(psycopg.Error):
                connection.execute(statement, parameters or None)
        return "canary" in log.read_text()[before:]


def test_the_embedded_server_is_tight(database: Database) -> None:
    assert database.risks() == []


@pytest.mark.parametrize(
    ("setting", "value"), [(name, value) for name, values in LOOSE.items() for value in values]
)
def test_each_loose_setting_is_named_with_what_to_set(
    database: Database, setting: str, value: str
) -> None:
    database.set({setting: value})
    (risk,) = database.risks()
    assert re.fullmatch(rf"{setting} is \S+; set \S+", risk)
    database.set({setting: risk.rpartition(" ")[2]})
    assert database.risks() == []


def test_what_lets_nothing_in_is_not_named(database: Database) -> None:
    database.set(TIGHT | HARMLESS)
    assert database.risks() == []


def test_extensions_count_where_they_are_loaded(database: Database) -> None:
    database.set({"session_preload_libraries": "auto_explain"})
    assert database.risks() == []
    database.set({"auto_explain.log_min_duration": "0"})
    assert database.risks() == ["auto_explain.log_min_duration is 0; set -1"]


def test_postgres_as_it_comes_is_not_tight(database: Database) -> None:
    database.set(
        {
            "log_min_messages": "warning",
            "log_error_verbosity": "default",
            "log_min_error_statement": "error",
            "log_parameter_max_length": "-1",
        }
    )
    assert [risk.partition(" ")[0] for risk in database.risks()] == [
        "log_error_verbosity",
        "log_min_error_statement",
        "log_min_messages",
        "log_parameter_max_length",
    ]


LEAKS: Final[list[tuple[dict[str, str], LiteralString, tuple[str, ...]]]] = [
    ({"log_min_messages": "error"}, "SELECT %s::text::integer", ("canary",)),
    (
        {"log_min_messages": "error", "log_error_verbosity": "default"},
        "INSERT INTO strict VALUES (%s)",
        ("canary",),
    ),
    (
        {"log_min_messages": "error", "log_min_error_statement": "error"},
        "SELECT 'canary', 1 / 0",
        (),
    ),
    (
        {
            "log_statement": "all",
            "log_parameter_max_length": "-1",
            "log_error_verbosity": "default",
        },
        "SELECT %s::text",
        ("canary",),
    ),
    ({"log_statement": "all"}, "SELECT 'canary'", ()),
    ({"log_min_duration_statement": "0"}, "SELECT 'canary'", ()),
    ({"log_min_duration_sample": "0", "log_statement_sample_rate": "1"}, "SELECT 'canary'", ()),
    ({"log_transaction_sample_rate": "1"}, "SELECT 'canary'", ()),
    (
        {
            "log_min_messages": "error",
            "log_parameter_max_length_on_error": "-1",
            "log_error_verbosity": "default",
        },
        "SELECT 1 / length(left(%s::text, 0))",
        ("canary",),
    ),
    (
        {"session_preload_libraries": "auto_explain", "auto_explain.log_min_duration": "0"},
        "SELECT * FROM strict WHERE word = %s",
        ("canary",),
    ),
]


@pytest.mark.parametrize(("loose", "statement", "parameters"), LEAKS)
def test_a_value_lands_in_the_log_of_a_loose_server_and_not_of_a_tight_one(
    database: Database, loose: dict[str, str], statement: LiteralString, parameters: tuple[str, ...]
) -> None:
    database.logs("CREATE TABLE strict (word text CHECK (word = ''))")
    assert not database.logs(statement, *parameters)
    database.set(loose)
    assert database.logs(statement, *parameters)
    assert {risk.partition(" ")[0] for risk in database.risks()} == {
        name for name in loose if name in LOOSE or name.startswith("auto_explain")
    }
