"""No call of a logger is handed a row, a message or a key: only counts, names, errors of ours."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import pipeline

ROOT: Final = Path(pipeline.__file__).parent
METHODS: Final = {"debug", "info", "warning", "error", "exception", "critical", "log"}
LOGGERS: Final = {"_log", "_logger", "log", "logger", "logging"}
RAW: Final = {
    *("row", "rows", "record", "records", "frame", "frames", "fields", "columns"),
    *("body", "bodies", "payload", "payloads", "message", "messages", "event", "events", "batch"),
    *("value", "values", "token", "tokens", "key", "keys", "key_id", "root", "roots", "secret"),
    *("password", "url", "receipt", "receipts", "headers", "request", "response", "answer", "data"),
}
"""Names that hold somebody's data, or what opens them. `len(rows)` and `batch.received` do not."""


def raw_in(node: ast.expr) -> Iterator[str]:
    """The names of raw things that an argument would write out as they are."""
    if isinstance(node, ast.Name) and node.id in RAW:
        yield node.id
    elif isinstance(node, ast.Attribute) and node.attr in RAW:
        yield node.attr
    elif isinstance(node, ast.Subscript):
        yield from raw_in(node.value)
    elif isinstance(node, ast.Call):
        shows = isinstance(node.func, ast.Name) and node.func.id in {"str", "repr", "dict", "list"}
        yield from (name for each in node.args if shows for name in raw_in(each))
    elif isinstance(
        node, ast.JoinedStr | ast.BinOp | ast.Tuple | ast.List | ast.Dict | ast.Starred
    ):
        parts = (each for each in ast.iter_child_nodes(node) if isinstance(each, ast.expr))
        yield from (name for each in parts for name in raw_in(each))
    elif isinstance(node, ast.FormattedValue):
        yield from raw_in(node.value)


def logged_raw(source: str) -> list[str]:
    """The lines that log something raw, and what."""
    calls = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.Call)]
    return [
        f"{call.lineno}: {name}"
        for call in calls
        if is_log_call(call.func)
        for each in [*call.args, *(given.value for given in call.keywords)]
        for name in raw_in(each)
    ]


def is_log_call(called: ast.expr) -> bool:
    """`_log.info`, `context.log.info`, `logging.getLogger(...).info`."""
    if not isinstance(called, ast.Attribute) or called.attr not in METHODS:
        return False
    on = called.value
    named = on.id if isinstance(on, ast.Name) else getattr(on, "attr", "")
    return named in LOGGERS or isinstance(on, ast.Call)


def test_nothing_raw_is_logged() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path in sorted(ROOT.rglob("*.py"))
        if (lines := logged_raw(path.read_text(encoding="utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "_log.info('got %s', row)",
        "context.log.info('got %s', hand.batch.messages)",
        "_logger.error(f'refused {body!r}')",
        "logging.getLogger('a').debug('%s', rows[0])",
        "log.warning('refused ' + str(record))",
        "_log.info('got', extra={'value': value})",
    ],
)
def test_a_slip_is_seen(line: str) -> None:
    assert len(logged_raw(line)) == 1


def test_counts_and_errors_are_no_slip() -> None:
    assert logged_raw("_log.info('%d of %s: %s', len(rows), batch.received, error)") == []
