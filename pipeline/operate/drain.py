"""Runs a feed's ingest job in this process: the same job that the sensor launches."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import dagster as dg

from pipeline.contract import Feed
from pipeline.errors import RunFailed
from pipeline.resources.outside import Outside

# Dagster keeps its lines in its storage; the terminal gets what the command has to say.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, slots=True)
class Ingested:
    """A run that succeeded.

    Attributes:
        numbers: The metadata of the materialisation.
        checks: What the checks found; one that failed fails no run, since the batch is committed.
    """

    numbers: Mapping[str, object]
    checks: tuple[dg.AssetCheckEvaluation, ...]


class Reach(Protocol):
    """What stands in for the resource `outside`."""

    def reach(self) -> Outside:
        """As `OutsideResource`."""


def ingest_once(
    definitions: dg.Definitions,
    feed: Feed,
    instance: dg.DagsterInstance,
    *,
    outside: Reach | None = None,
    run_id: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> Ingested:
    """One run of the feed's job.

    Args:
        definitions: Where the job is.
        feed: Whose job.
        instance: Where the run is recorded.
        outside: In place of the resource of that name.
        run_id: The run's id, a UUID; a new one if none is given.
        tags: Of the run.

    Raises:
        RunFailed: With the text of the error that stopped it.
    """
    job = definitions.resolve_job_def(f"ingest_{feed.name}")
    result = job.execute_in_process(
        instance=instance,
        run_config=_QUIET,
        raise_on_error=False,
        run_id=run_id,
        tags=tags,
        resources={"outside": outside} if outside else None,
    )
    if not result.success:
        raise RunFailed(
            f"run {result.run_id} failed: {_told(result)}",
            remedy="Then run it again: what was received and not committed is delivered again",
            feed=feed.name,
        )
    (materialization,) = result.asset_materializations_for_node(feed.name)
    numbers = {name: value.value for name, value in materialization.metadata.items()}
    return Ingested(numbers, tuple(result.get_asset_check_evaluations()))


def drain(
    definitions: dg.Definitions, feed: Feed, outside: Outside, instance: dg.DagsterInstance
) -> Iterator[Ingested]:
    """Runs the job until nothing waits any more; yields each run.

    Raises:
        RunFailed: A run failed.
        QueueError: SQS refused or did not answer.
    """
    while True:
        yield ingest_once(definitions, feed, instance)
        if outside.depth(feed).visible == 0:
            return


def _told(result: dg.ExecuteInProcessResult) -> str:
    """The innermost error of the failed step: it is one of this project's, and holds no value."""
    for event in result.all_events:
        if event.is_step_failure and (error := event.step_failure_data.error):
            while error.cause:
                error = error.cause
            return error.message.strip()
    return "no step says why"
