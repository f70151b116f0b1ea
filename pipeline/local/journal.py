"""The supervisor's log: what happened and where, never the text of a foreign exception.

Those texts can hold the contents of messages; what this project raises says what it has to in
the line itself.
"""

import asyncio
import logging
import os
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline.local.private_files import open_log


class _WithoutTexts(logging.Formatter):
    """Shows of an exception its type and its line."""

    def formatException(  # noqa: N802 - the name that logging calls
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        kind, _, trace = ei
        return f"{kind.__name__ if kind else 'Exception'} at {_place(trace)}"


def keep_journal(path: Path) -> None:
    """Send every logger of this process to one file of mode 0600."""
    stream = os.fdopen(open_log(path), "w", encoding="utf-8")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_WithoutTexts("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.INFO)


def note_loop_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What an event loop does with an error that nobody waits for: asyncio's would show it."""
    error = context.get("exception")
    trace = error.__traceback__ if error is not None else None
    logging.getLogger(__name__).error("%s at %s", type(error).__name__, _place(trace))


def _place(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown line"
