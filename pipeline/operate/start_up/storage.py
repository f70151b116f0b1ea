"""The rules for Dagster's own storage: it answers, and its instance goes with the feeds' limits."""

from collections.abc import Iterator, Sequence

import dagster as dg
from dagster_postgres.utils import DagsterPostgresException
from sqlalchemy.exc import OperationalError

from pipeline.contract import Feed
from pipeline.operate.start_up.finding import Finding, unavailable
from pipeline.operate.start_up.job import monitoring_of
from pipeline.operate.start_up.runs import check_monitoring
from pipeline.resources.postgres_trust import why_not_trusted

_WHERE = "Dagster's storage"


def check_instance(feeds: Sequence[Feed]) -> Iterator[Finding]:
    """What is wrong with the instance of DAGSTER_HOME."""
    try:
        with dg.DagsterInstance.get() as instance:
            yield from check_monitoring(feeds, monitoring_of(instance))
    except (DagsterPostgresException, OperationalError) as error:
        yield _unavailable(error)


def _unavailable(error: Exception) -> Finding:
    """Dagster wraps what the driver said; its words hold the host, and are kept out."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Exception) and (untrusted := why_not_trusted(cause)):
            return unavailable(_WHERE, untrusted)
        cause = cause.__cause__
    return Finding(
        "error",
        _WHERE,
        "its Postgres does not answer, or refuses the log-in",
        "Check that it is up and takes the user and password of `storage` in dagster.yaml",
    )
