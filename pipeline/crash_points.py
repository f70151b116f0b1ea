"""Named moments of a run at which it can be made to die: how tests and operators rehearse a crash.

`PIPELINE_CRASH_POINT=after_commit:SIGKILL:3` ends the process when it comes to `after_commit` for
the third time. Without the setting nothing ever happens here.
"""

import functools
import os
import re
import signal
import sys
import threading
from collections import Counter
from enum import StrEnum
from typing import Final

from pipeline.errors import SettingsError

SETTING: Final = "PIPELINE_CRASH_POINT"
"""The environment setting: `POINT:HOW` or `POINT:HOW:NTH`."""

_HOW: Final = ("SIGKILL", "SIGTERM", "SIGSTOP", "MemoryError")
_NTH: Final = re.compile("[1-9][0-9]{0,8}")


class CrashPoint(StrEnum):
    """The moments, in the order in which a run comes to them."""

    BEFORE_CHECK = "before_check"
    AFTER_CHECK = "after_check"
    BEFORE_RECEIVE = "before_receive"  # of each call
    AFTER_RECEIVE = "after_receive"  # of each call
    AFTER_DECODE = "after_decode"
    AFTER_ENRICH = "after_enrich"
    AFTER_MASK = "after_mask"
    AFTER_BEGIN = "after_begin"
    AFTER_STAGE = "after_stage"
    AFTER_INSERT = "after_insert"  # of each part, where a batch is split
    AFTER_QUARANTINE = "after_quarantine"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"
    BEFORE_DELETE = "before_delete"  # of each call
    AFTER_DELETE = "after_delete"  # of each call
    AFTER_ACKNOWLEDGE = "after_acknowledge"
    BEFORE_SUCCESS = "before_success"  # all is done, and Dagster has not heard of it


class Crash:
    """What is to happen at one of the moments.

    Args:
        order: As in the setting.

    Raises:
        SettingsError: There is no such moment, or no such end.
    """

    def __init__(self, order: str) -> None:
        point, how, nth = (*order.split(":", 2), "1", "1")[:3]
        if point not in set(CrashPoint) or how not in _HOW or not _NTH.fullmatch(nth):
            raise SettingsError(
                f"{SETTING} is not POINT:HOW or POINT:HOW:NTH",
                remedy=f"POINT is one of {', '.join(CrashPoint)}; HOW one of {', '.join(_HOW)}."
                " Unset it: it is for rehearsals",
            )
        self._point = CrashPoint(point)
        self._how = how
        self._nth = int(nth)
        self._lock = threading.Lock()
        self._met: Counter[CrashPoint] = Counter()

    def meet(self, point: CrashPoint) -> None:
        """Comes to a moment; dies if it is the one.

        Raises:
            MemoryError: Where that is the end that was asked for.
        """
        with self._lock:
            self._met[point] += 1
            is_due = point is self._point and self._met[point] == self._nth
        if not is_due:
            return
        # A process that is killed leaves no other trace, and a rehearsal must be known for one.
        sys.stderr.write(f"{SETTING}: {self._how} at {point}\n")
        sys.stderr.flush()
        if self._how == "MemoryError":
            raise MemoryError
        os.kill(os.getpid(), signal.Signals[self._how])


@functools.cache
def _asked_for() -> Crash | None:
    order = os.environ.get(SETTING)
    return Crash(order) if order else None


def reach(point: CrashPoint) -> None:
    """Tells that a run has come to one of the moments.

    Raises:
        MemoryError: Where that was asked for.
        SettingsError: The setting cannot be read.
    """
    if (crash := _asked_for()) is not None:
        crash.meet(point)
