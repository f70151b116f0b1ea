"""One retention: our own tables, then what Dagster has of old runs."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline.operate.retention.history import History
from pipeline.operate.retention.portions import Pruned, Tell
from pipeline.operate.retention.runs import prune_runs
from pipeline.operate.retention.settings import Retention
from pipeline.operate.retention.tables import prune_tables

SECONDS: Final = 3_600.0
"""How long a retention goes on at most; what is left then is the next one's."""


def retain(url: str, retention: Retention, history: History | None, tell: Tell) -> list[Pruned]:
    """Deletes what is older than its days, and no more than an hour's work of it.

    Args:
        url: The warehouse, with a log-in that is a member of `loader`, or the owner's.
        retention: The days.
        history: Dagster's, of our runs; None where there is none to look after.
        tell: Gets a line now and then.

    Raises:
        SettingsError: The database keeps a table for longer; all else has had its turn by then.
            Or the clocks differ, and nothing has gone.
        WarehouseError: Postgres is down; or it refuses, and all else has had its turn.
    """
    until = time.monotonic() + SECONDS
    pruned = prune_tables(url, retention, until=until, tell=tell)
    if history is not None:
        # By this machine's clock, as Dagster writes its times: the tables' clock agrees with it.
        before = datetime.now(UTC) - timedelta(days=retention.runs_days)
        pruned.append(prune_runs(history, before, until=until, tell=tell))
    if (failed := next((each.error for each in pruned if each.error), None)) is not None:
        for each in pruned:
            tell(str(each))
        raise failed
    return pruned
