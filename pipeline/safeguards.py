"""What holds for a whole process: no log line, traceback or core dump tells a personal value."""

import logging
import resource
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final

from pipeline.errors import told
from pipeline.scrubbing import Withheld, scrub, withhold

WORDY: Final = (
    "botocore",
    "boto3",
    "s3transfer",
    "urllib3",
    "psycopg",
    "sqlalchemy",
    "httpx",
    "httpcore",
)
"""Libraries that log what passes through them, bodies and parameters included, below a warning."""


def install() -> None:
    """Put the safeguards around this process; nothing happens where they stand already.

    They hand on to whatever was there before them: another factory of log records, the hooks of
    a test runner or of an error reporter.
    """
    if not isinstance(logging.getLogRecordFactory(), _Records):
        # The one place that records of every logger pass, whoever handles them. A filter on the
        # root logger sees only what is logged there.
        logging.setLogRecordFactory(_Records(logging.getLogRecordFactory()))
    if not isinstance(sys.excepthook, _Uncaught):
        sys.excepthook = _Uncaught(sys.excepthook)
    if not isinstance(threading.excepthook, _UncaughtInThread):
        threading.excepthook = _UncaughtInThread(threading.excepthook)
    if not isinstance(sys.unraisablehook, _Unraisable):
        sys.unraisablehook = _Unraisable(sys.unraisablehook)
    if not isinstance(warnings.formatwarning, _Warnings):
        warnings.formatwarning = _Warnings(warnings.formatwarning)
    hold_at_warnings()
    forbid_core_dumps()


def hold_at_warnings() -> None:
    """What a library says in detail stays unsaid, also where everything is set to debug."""
    for logger in map(logging.getLogger, WORDY):
        logger.setLevel(max(logger.level, logging.WARNING))


def forbid_core_dumps() -> None:
    """A core dump holds all the memory: keys, and the messages of a batch."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class _Records:
    """Makes log records of which the message and the exception are clean."""

    def __init__(self, before: Callable[..., logging.LogRecord]) -> None:
        self._before = before

    def __call__(self, *given: Any, **named: Any) -> logging.LogRecord:  # noqa: ANN401 - as logging hands them on
        record = self._before(*given, **named)
        _clean_message(record)
        if record.exc_info and record.exc_info[1]:
            clean = withhold(record.exc_info[1], record.exc_info[2])
            # Without the traceback: its frames hold the values of variables.
            record.exc_info = (Withheld, clean, None)
        return record


def _clean_message(record: logging.LogRecord) -> None:
    """Leaves the parts of a message apart, for handlers that look at them."""
    record.msg = _without_text(record.msg)
    _change_arguments(record, _without_text)
    try:
        text = record.getMessage()
    except Exception as error:  # noqa: BLE001 - logging would print the arguments
        record.msg, record.args = f"a message that {type(error).__name__} kept from being put", ()
        return
    if (clean := scrub(text)) == text:
        return
    _change_arguments(record, _scrubbed)
    if record.getMessage() != clean:
        record.msg, record.args = clean, ()


def _change_arguments(record: logging.LogRecord, change: Callable[[object], object]) -> None:
    arguments = record.args or ()
    record.args = (
        {name: change(each) for name, each in arguments.items()}
        if isinstance(arguments, Mapping)
        else tuple(map(change, arguments))
    )


def _without_text(argument: object) -> object:
    """An exception is told as in a traceback: the text of our own, the type of the others."""
    return told(argument) if isinstance(argument, Exception) else argument


def _scrubbed(argument: object) -> object:
    return scrub(argument) if isinstance(argument, str) else argument


class _Uncaught:
    """`sys.excepthook`, and what it is told is clean."""

    def __init__(self, before: Callable[..., object]) -> None:
        self._before = before

    def __call__(
        self,
        kind: type[BaseException],  # noqa: ARG002 - as Python hands it on
        error: BaseException,
        trace: TracebackType | None,
    ) -> None:
        self._before(Withheld, withhold(error, trace), None)


class _UncaughtInThread:
    """`threading.excepthook`, and what it is told is clean."""

    def __init__(self, before: Callable[[threading.ExceptHookArgs], object]) -> None:
        self._before = before

    def __call__(self, given: threading.ExceptHookArgs) -> None:
        if given.exc_value is not None and not isinstance(given.exc_value, SystemExit):
            clean = withhold(given.exc_value, given.exc_traceback)
            given = threading.ExceptHookArgs((Withheld, clean, None, given.thread))
        self._before(given)


class _Unraisable:
    """`sys.unraisablehook`, and what it is told is clean."""

    def __init__(self, before: Callable[[Any], object]) -> None:
        self._before = before

    def __call__(self, given: Any) -> None:  # noqa: ANN401 - its type has no public name
        if given.exc_value is not None:
            clean = withhold(given.exc_value, given.exc_traceback)
            # The object's type in place of the object: its repr may hold values.
            given = type(given)((Withheld, clean, None, given.err_msg, type(given.object)))
        self._before(given)


class _Warnings:
    """`warnings.formatwarning`, and the text of the warning is clean."""

    def __init__(self, before: Callable[..., str]) -> None:
        self._before = before

    def __call__(self, message: Warning | str, *given: Any, **named: Any) -> str:  # noqa: ANN401 - as warnings hands them on
        return scrub(self._before(message, *given, **named))
