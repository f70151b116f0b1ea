"""Lines of the log as JSON: one object a line, with the ids that join it to others.

All processes of this project write them by this one function; docs/logs.md names the fields.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, TextIO

from pipeline import log_ids
from pipeline.errors import SettingsError
from pipeline.scrubbing import scrub, withhold

SETTING: Final = "PIPELINE_LOG_FORMAT"
"""`json`, or `text`, which is what each process writes by itself."""


_NOTHING: Final[Mapping[str, object]] = {}


def is_json(environment: Mapping[str, str]) -> bool:
    """Whether an environment asks for JSON.

    Raises:
        SettingsError: It asks for what there is not.
    """
    wanted = environment.get(SETTING) or "text"
    if wanted not in {"text", "json"}:
        raise SettingsError(f"{SETTING} is none of its words", remedy="Write text or json")
    return wanted == "json"


def line(
    text: str,
    *,
    logger: str,
    level: str = "INFO",
    at: float | None = None,
    told: Mapping[str, object] = _NOTHING,
) -> str:
    """One line: `at`, `level`, `logger`, `text`, the ids that are known, and what else is told.

    Args:
        text: For people.
        logger: Who says it.
        level: As `logging` names it.
        at: Seconds since the epoch; now if not given.
        told: Counts, ids and names, never a value; None is left out.
    """
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    said = {
        "at": moment.isoformat(timespec="milliseconds"),
        "level": level,
        "logger": logger,
        "text": text,
        **log_ids.current(),
        **told,
    }
    # Escaped to ASCII: neither a line break nor what a terminal would obey is left in it.
    return json.dumps({name: value for name, value in said.items() if value is not None})


def write(written: str, stream: TextIO | None = None) -> None:
    """Puts a line on standard output; a full disk is no reason to end the work."""
    into = stream or sys.stdout
    with suppress(OSError, ValueError):
        into.write(f"{written}\n")
        into.flush()


def install(environment: Mapping[str, str], text_format: str | None = None) -> None:
    """Has this process's loggers write to standard error in the format that is asked for.

    Args:
        environment: The settings.
        text_format: That of text, for a process that has one; else its loggers stay as they are.

    Raises:
        SettingsError: The setting is none of its words.
    """
    if not is_json(environment):
        if text_format is not None:
            logging.basicConfig(format=text_format)
        return
    root = logging.getLogger()
    if any(isinstance(each, _Lines) for each in root.handlers):
        return
    root.addHandler(_Lines())
    ours = logging.getLogger("pipeline")
    if ours.level == logging.NOTSET:
        ours.setLevel(logging.INFO)


@contextmanager
def of_op(log: logging.Logger, **ids: str | None) -> Iterator[None]:
    """Around what an op does: its lines have these ids, and are JSON where that is asked for.

    Dagster keeps and shows them as before; these are for whoever collects a process's output.

    Args:
        log: The op's `context.log`.
        ids: As `log_ids.bound`.
    """
    with log_ids.bound(**ids):
        if not is_json(os.environ):
            yield
            return
        handler = _Lines("pipeline.runs")
        log.addHandler(handler)
        try:
            yield
        finally:
            log.removeHandler(handler)


class _Formatter(logging.Formatter):
    """Clean by itself: a process may have no safeguards."""

    def __init__(self, name: str | None) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        error = None
        if record.exc_info and record.exc_info[1]:
            error = str(withhold(record.exc_info[1], record.exc_info[2]))
        # Dagster puts job, run and step before what an op says; they are fields here.
        meta = getattr(record, "dagster_meta", None)
        text = meta["orig_message"] if meta else record.getMessage()
        return line(
            scrub(text),
            logger=self._name or record.name,
            level=record.levelname,
            at=record.created,
            told={"error": error},
        )


class _Lines(logging.StreamHandler[TextIO]):
    """Writes records to standard error.

    Args:
        name: The logger of all lines; None for each record's own, but for those of Dagster's
            processes, which have a format of their own.
    """

    def __init__(self, name: str | None = None) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(_Formatter(name))
        self._takes_all = name is not None

    def filter(self, record: logging.LogRecord) -> bool:
        is_ours = self._takes_all or not record.name.startswith("dagster")
        return is_ours and bool(super().filter(record))
