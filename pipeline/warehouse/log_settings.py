"""Which settings of a Postgres server let rows and values into its log."""

from collections.abc import Callable
from typing import Final

import psycopg

_SILENT: Final = {"log", "fatal", "panic"}  # levels at which an ERROR leaves no line


def _positive(value: str) -> bool:
    return float(value) > 0


def _not_negative(value: str) -> bool:
    return float(value) >= 0


def _not_zero(value: str) -> bool:
    return float(value) != 0


def _on(value: str) -> bool:
    return value == "on"


def _not_silent(value: str) -> bool:
    return value not in _SILENT


# Chapter 19.8 of the Postgres manual, and the pages of auto_explain and of pgAudit. For each
# setting: which values let something into the log, and what to set instead. Each is judged by
# itself, so that another one that is loosened later opens nothing.
_RISKS: Final[dict[str, tuple[Callable[[str], bool], str]]] = {
    "log_min_messages": (_not_silent, "fatal"),  # 'invalid input syntax ...: "the value"'
    "log_error_verbosity": (lambda value: value != "terse", "terse"),  # DETAIL: the failing row
    "log_min_error_statement": (_not_silent, "panic"),  # the statement, with what is typed in it
    "log_parameter_max_length": (_not_zero, "0"),
    "log_parameter_max_length_on_error": (_not_zero, "0"),
    "log_statement": (lambda value: value in {"mod", "all"}, "none"),
    "log_min_duration_statement": (_not_negative, "-1"),
    "log_min_duration_sample": (_not_negative, "-1"),
    "log_transaction_sample_rate": (_positive, "0"),
    "debug_print_parse": (_on, "off"),  # the tree of a statement holds its constants
    "debug_print_rewritten": (_on, "off"),
    "debug_print_plan": (_on, "off"),
    "auto_explain.log_min_duration": (_not_negative, "-1"),  # a plan holds the bound values
    "pgaudit.log_parameter": (_on, "off"),
}


def find_risks(connection: psycopg.Connection) -> list[str]:
    """The settings in force for this connection's role and database that are too loose.

    Each as "name is X; set Y"; of an extension only where it is loaded.

    Raises:
        psycopg.Error: The server did not answer.
    """
    rows = connection.execute(
        "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY(%s) ORDER BY name",
        (list(_RISKS),),
    ).fetchall()
    return [
        f"{name} is {value}; set {_RISKS[name][1]}"
        for name, value in rows
        if _RISKS[name][0](value)
    ]
