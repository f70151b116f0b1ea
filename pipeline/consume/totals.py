"""What a run adds to its feed's running totals when it is over: docs/metrics.md.

What its batches add they add by themselves, in their own transactions.
"""

import logging
from collections.abc import Mapping
from typing import Final

from psycopg.types.json import Jsonb

from pipeline.contract import Feed
from pipeline.errors import PipelineError, UnexpectedError, WarehouseUnavailable, values_kept_out
from pipeline.resources import postgres

SUCCESS: Final = "success"
"""The outcome of a run that did not fail; that of another is the code of its error."""

_log = logging.getLogger(__name__)


def add_success(feed: Feed, url: str, *, seconds: Mapping[str, float], oldest: float) -> None:
    """Adds a run that has succeeded; where that cannot be done it is logged, and the run goes on.

    Args:
        feed: Whose run.
        url: The warehouse.
        seconds: What each stage took.
        oldest: How old the oldest message was when it was received, in seconds.
    """
    _add(feed, url, SUCCESS, seconds, oldest)


def add_failure(feed: Feed, url: str, error: BaseException | None) -> None:
    """Adds a run that has failed, where the warehouse can be told."""
    if isinstance(error, WarehouseUnavailable):
        return  # it would only be waited for once more
    code = error.code if isinstance(error, PipelineError) else UnexpectedError.code
    _add(feed, url, code, {}, None)


def _add(
    feed: Feed, url: str, outcome: str, seconds: Mapping[str, float], oldest: float | None
) -> None:
    try:
        with (
            values_kept_out(feed=feed.name, stage="totals"),
            postgres.translated(feed=feed.name),
            postgres.connect(url) as connection,
        ):
            connection.execute(
                "SELECT pipeline.add_run(%s, %s, %s, %s)",
                (feed.name, outcome, Jsonb(dict(seconds)), oldest),
            )
    except PipelineError as error:
        _log.warning("the run is missing in the totals: %s", error)
