"""Dead letters in Dagster: an asset that shows them, a check that warns, a sensor that notices."""

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from pipeline.contract import Feed
from pipeline.errors import QueueMissing, values_kept_out
from pipeline.operate.dead_letters.look import Letters, look
from pipeline.operate.dead_letters.notice import Noticed, is_due
from pipeline.operate.dead_letters.redrive import find
from pipeline.operate.dead_letters.redrive_job import redrive_job
from pipeline.resources.outside_resource import OutsideResource

CHECK: Final = "no_dead_letters"
_URGENT: Final = timedelta(days=3)  # a weekend: with less left, somebody must act now
_INTERVAL_SECONDS: Final = 60
_GROUP: Final = "dead_letters"


def dead_letters(feed: Feed) -> dg.Definitions:
    """Everything in Dagster that has to do with a feed's dead-letter queue."""
    asset = _asset(feed)
    job = dg.define_asset_job(
        f"look_at_dead_letters_{feed.name}",
        selection=dg.AssetSelection.assets(asset.key),
        description=f"Looks at the dead letters of {feed.queue}: how many, and how old.",
    )
    return dg.Definitions(
        assets=[asset],
        jobs=[job, redrive_job(feed)],
        sensors=[_sensor(feed, job_name=job.name)],
    )


def _asset(feed: Feed) -> dg.AssetsDefinition:
    key = dg.AssetKey([_GROUP, feed.name])

    @dg.asset(
        key=key,
        group_name=_GROUP,
        kinds={"sqs"},
        description=f"The messages that SQS has taken off {feed.queue}, since they were received"
        f" too often. `redrive_dead_letters_{feed.name}` puts them back.",
        metadata={"queue": feed.queue},
        check_specs=[
            dg.AssetCheckSpec(
                CHECK, asset=key, description="nothing waits on the dead-letter queue, and expires"
            )
        ],
    )
    def the_asset(outside: OutsideResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows it bare
        with values_kept_out(feed=feed.name, stage="dead letters"):
            letters = look(find(outside.reach(), feed))
        now = datetime.now(UTC)
        return dg.MaterializeResult(
            metadata=_metadata(letters, now), check_results=[_verdict(feed, letters, now)]
        )

    return the_asset


def _metadata(letters: Letters, now: datetime) -> dict[str, dg.MetadataValue | float | int | str]:
    told: dict[str, dg.MetadataValue | float | int | str] = {
        "depth": letters.total,
        "in flight": letters.in_flight,
        "queue": letters.queue,
        "retention (days)": round(letters.retention / 86_400, 1),
        "looked at": letters.looked_at,
    }
    if letters.foreign:
        told["looked at, of another queue"] = letters.foreign
    age, left = letters.age(now), letters.left(now)
    if age is not None and left is not None:
        told["oldest age (h)"] = round(age / timedelta(hours=1), 1)
        told["expires in (h)"] = round(left / timedelta(hours=1), 1)
    elif letters.total:
        told["oldest age"] = f"not known. {letters.trouble}".strip()
    return told


def _verdict(feed: Feed, letters: Letters, now: datetime) -> dg.AssetCheckResult:
    """Warns of any, and fails where the first are about to be lost."""
    left = letters.left(now)
    urgent = left is not None and left < _URGENT
    told = [f"{letters.total} on {letters.queue}"]
    if left is not None:
        told += [f"SQS drops the oldest in {max(left, timedelta()) / timedelta(hours=1):.0f} h"]
    advice = (
        f"See why the runs of {feed.name} failed, then redrive: `pipeline dead-letters redrive"
        f" {feed.name}`, or the job redrive_dead_letters_{feed.name}"
    )
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not letters.total,
        severity=dg.AssetCheckSeverity.ERROR if urgent else dg.AssetCheckSeverity.WARN,
        description=f"{'; '.join(told)}. {advice}" if letters.total else None,
        metadata={"depth": letters.total},
    )


def _sensor(feed: Feed, *, job_name: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{feed.name}_dead_letters_sensor",
        job_name=job_name,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Notices dead letters of {feed.queue} by their number; it never receives.",
    )
    def notice(context: dg.SensorEvaluationContext, outside: OutsideResource) -> dg.SensorResult:
        with values_kept_out(feed=feed.name, stage="dead letters"):
            try:
                depth = outside.reach().dead_letter_depth(feed)
            except QueueMissing as missing:
                return dg.SensorResult(skip_reason=missing.what, cursor=context.cursor)
        if depth is None:
            return dg.SensorResult(skip_reason="there is no dead-letter queue")
        now, last = time.time(), Noticed.read(context.cursor)
        told = f"{depth.total} dead letters"
        if not is_due(depth.total, last, now):
            return dg.SensorResult(skip_reason=told, cursor=str(last))
        request = dg.RunRequest(tags={"pipeline/requested_because": told})
        return dg.SensorResult(run_requests=[request], cursor=str(Noticed(depth.total, now)))

    return notice
