"""The sensor of a source: it asks for a run of each range that a plan found and nobody fetched."""

import time
from dataclasses import replace
from datetime import UTC, datetime

import dagster as dg

from pipeline.errors import values_kept_out
from pipeline.produce.fetch.launching import Seen, Tried, decide
from pipeline.produce.fetch.partitions import (
    fetch_job_name,
    longest_run,
    plan_of,
    records_key,
    unfetched,
)
from pipeline.source import Source

_INTERVAL_SECONDS = 15
_PARTITION = "dagster/partition"
_ENDED = {
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
}
_RUNS = 1_000  # the newest; more than that are a backfill's, which is seen before
_BACKFILLS = 10  # the newest


def range_sensor(source: Source) -> dg.SensorDefinition:
    """The sensor that launches what a plan found, a few ranges at a time.

    It calls nobody: it compares the plan with Dagster's own storage. Its requests carry no run
    key, so that a range whose run failed can be asked for again (dagster#15982).
    """
    job = fetch_job_name(source)

    @dg.sensor(
        name=f"{job}_sensor",
        job_name=job,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for a run of each range of {source.name} that was not fetched since the"
        " plan. It does nothing before the first plan.",
    )
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with values_kept_out(feed=source.feed, stage="sensor"):
            decision = decide(_seen(context.instance, source))
        return dg.SensorResult(
            run_requests=[dg.RunRequest(partition_key=key) for key in decision.ranges],
            skip_reason=None if decision.ranges else dg.SkipReason(decision.reason),
        )

    return look


def _seen(instance: dg.DagsterInstance, source: Source) -> Seen:
    now = time.time()
    plan = plan_of(instance, source)
    if plan is None:
        return Seen(now, planned=False)
    due = unfetched(instance, source, plan)
    oldest = now - longest_run(source)
    runs = _runs(instance, source, due, min(oldest, plan.made_at)) if due else []
    return Seen(
        now,
        planned=True,
        due=tuple(due),
        active=frozenset(
            run.dagster_run.tags[_PARTITION]
            for run in runs
            if run.dagster_run.status not in _ENDED and run.create_timestamp.timestamp() > oldest
        ),
        tried=_tried([run for run in runs if (run.end_time or 0.0) > plan.made_at]),
        backfill=bool(due) and _is_backfilled(instance, source),
    )


def _runs(
    instance: dg.DagsterInstance, source: Source, keys: list[str], created_after: float
) -> list[dg.RunRecord]:
    """The runs of some ranges, by whatever job, the newest first."""
    after = datetime.fromtimestamp(created_after, UTC)
    wanted = dg.RunsFilter(tags={_PARTITION: keys}, created_after=after)
    key, job = records_key(source), fetch_job_name(source)
    return [
        record
        for record in instance.get_run_records(wanted, limit=_RUNS)
        if record.dagster_run.job_name == job or key in (record.dagster_run.asset_selection or ())
    ]


def _tried(runs: list[dg.RunRecord]) -> dict[str, Tried]:
    """What became of each range's runs, of which the newest stands first."""
    tried: dict[str, Tried] = {}
    for record in runs:
        key, status = record.dagster_run.tags[_PARTITION], record.dagster_run.status
        newest = Tried(0, record.end_time or 0.0, status is dg.DagsterRunStatus.CANCELED)
        before = tried.get(key, newest)
        failed = status is dg.DagsterRunStatus.FAILURE
        tried[key] = replace(before, failures=before.failures + failed)
    return tried


def _is_backfilled(instance: dg.DagsterInstance, source: Source) -> bool:
    """Whether a backfill of the asset, or of its job, is at work."""
    key, job = records_key(source), fetch_job_name(source)
    return any(
        key in (each.asset_selection or ()) or each.job_name == job
        for each in instance.get_backfills(limit=_BACKFILLS)
        if each.status.value == "REQUESTED"
    )
