"""The sensor of a feed: one look at the depth, a pure decision, at most a few run requests.

It never receives: docs/decisions/0001-the-sensor-never-receives.md says why.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import dagster as dg

from pipeline.consume.in_flight import waiting
from pipeline.consume.plan import Decision, Seen, decide
from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.resources.outside_resource import OutsideResource

_INTERVAL_SECONDS = 5
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""What a run is that may still do something."""
_FINISHED = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_REASON = "pipeline/requested_because"
MOST_MESSAGES = "pipeline/most_messages"
"""The tag of a run that is to take few messages only."""

_NONE_WAITS = "-"  # Dagster keeps the old cursor where a tick returns none, or an empty one
_START_SECONDS = 60.0  # from the start of a run to its first message, on a slow machine
_LATEST = 16  # finished runs that are looked at; half as many failures make the longest pause


def depth_sensor(feed: Feed, *, job_name: str) -> dg.SensorDefinition:
    """The sensor that asks for runs of a job by the depth of the feed's queue.

    It never receives. Its requests carry no run key: Dagster would never launch a key again
    whose run failed (dagster#15982), while the messages are still there.
    """

    @dg.sensor(
        name=f"{feed.name}_sensor",
        job_name=job_name,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Asks for runs by the depth of {feed.queue}.",
    )
    def look(context: dg.SensorEvaluationContext, outside: OutsideResource) -> dg.SensorResult:
        with values_kept_out(feed=feed.name, stage="sensor"):
            depth = waiting(feed, outside.reach().depth(feed))
            decision = decide(_seen(context, feed, job_name, depth), feed.limits)
        waiting_since = decision.waiting_since
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(tags={_REASON: decision.reason, **limiting(decision)})
                for _ in range(decision.runs)
            ],
            skip_reason=None if decision.runs else dg.SkipReason(decision.reason),
            cursor=_NONE_WAITS if waiting_since is None else str(waiting_since),
        )

    return look


def limiting(decision: Decision) -> dict[str, str]:
    """The tags with which a run takes no more messages than were decided on."""
    most = decision.most_messages
    return {} if most is None else {MOST_MESSAGES: str(most)}


def limited(feed: Feed, tags: Mapping[str, str]) -> Feed:
    """The feed for a run with these tags, which can lower its limit and never raise it."""
    most = tags.get(MOST_MESSAGES, "")
    if not most.isdecimal():
        return feed
    limits = feed.limits
    run = max(1, min(int(most), limits.run_messages))
    batch = min(run, limits.batch_messages)
    return replace(feed, limits=replace(limits, batch_messages=batch, run_messages=run))


def _seen(context: dg.SensorEvaluationContext, feed: Feed, job_name: str, depth: int) -> Seen:
    instance, limits = context.instance, feed.limits
    oldest = datetime.now(UTC) - timedelta(seconds=limits.run_age_seconds)
    active = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, statuses=UNFINISHED, created_after=oldest),
        limit=limits.max_runs,
    )
    finished = instance.get_run_records(
        dg.RunsFilter(job_name=job_name, statuses=_FINISHED), limit=_LATEST
    )
    failed = list(takewhile(_has_failed, finished))
    return Seen(
        now=time.time(),
        depth=depth,
        active=len(active),
        receiving=sum(_may_receive(record, feed) for record in active),
        failures=_count_in_turn(failed),
        failed_at=max(map(_ended, failed), default=0.0),
        waiting_since=_remembered(context.cursor),
    )


def _remembered(cursor: str | None) -> float | None:
    """Since when a few messages have waited; a cursor that somebody has set by hand tells nothing.

    An error would come again with each tick: the cursor is replaced only by one that succeeds.
    """
    try:
        since = float(cursor or _NONE_WAITS)
    except ValueError:
        return None
    return since if math.isfinite(since) else None


def _has_failed(record: dg.RunRecord) -> bool:
    return record.dagster_run.status is dg.DagsterRunStatus.FAILURE


def _count_in_turn(failed: Sequence[dg.RunRecord]) -> int:
    """How many runs failed one after the other; those that did so side by side met one trouble."""
    count, began = 0, math.inf
    for record in failed:  # the newest first
        if _ended(record) <= began:
            count += 1
            began = record.start_time or record.create_timestamp.timestamp()
    return count


def _ended(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()


def _may_receive(record: dg.RunRecord, feed: Feed) -> bool:
    """Whether a run has yet to receive or may be at it; one that was killed long ago is not."""
    if record.start_time is None:
        return True
    longest = feed.limits.run_seconds + feed.limits.receive_seconds
    return time.time() - record.start_time < longest + _START_SECONDS
