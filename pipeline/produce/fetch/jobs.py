"""A source as Dagster shows it: its plan, its ranges as partitions, and what starts them."""

import os

import dagster as dg

from pipeline import log_lines, sources
from pipeline.errors import values_kept_out
from pipeline.produce.fetch.checks import checks, failed_records, none_failed
from pipeline.produce.fetch.partitions import (
    COUNT,
    fetch_job_name,
    longest_run,
    partition,
    partitions,
    plan_key,
    records_key,
)
from pipeline.produce.fetch.planning import PageRange, count
from pipeline.produce.fetch.progress import Progress
from pipeline.produce.fetch.range_sensor import range_sensor
from pipeline.produce.fetch.reach import Reach
from pipeline.produce.fetch.report import read_standing
from pipeline.resources.outside_resource import OutsideResource
from pipeline.source import Source

_GROUP = "sources"
_NIGHTLY = "23 3 * * *"  # not on the hour, when everybody else asks
_PAUSE = 5.0  # seconds between two lines of progress; Dagster keeps each
_BEHIND = {"dagster/priority": "-1"}  # a batch that waits on a queue goes first


def fetching(source: Source) -> dg.Definitions:
    """Everything that one source needs in Dagster, made from its declaration."""
    plan, records = _plan(source), _records(source)
    plan_job = dg.define_asset_job(
        f"plan_{source.name}",
        selection=dg.AssetSelection.assets(plan.key),
        description=f"Asks {source.name} how many records it has, and cuts its list into ranges.",
    )
    fetch_job = dg.define_asset_job(
        fetch_job_name(source),
        # The asset's checks come along.
        selection=dg.AssetSelection.assets(records.key),
        tags=_BEHIND,
        description=f"Fetches a range of {source.name} and sends its records to {source.feed}.",
    )
    return dg.Definitions(
        assets=[plan, records],
        asset_checks=checks(source),
        jobs=[plan_job, fetch_job, _retry_job(source)],
        schedules=[
            dg.ScheduleDefinition(
                name=f"refresh_{source.name}",
                job=plan_job,
                cron_schedule=_NIGHTLY,
                default_status=dg.DefaultScheduleStatus.STOPPED,
                description=f"Plans {source.name} anew each night; the sensor launches its ranges."
                " Stopped until somebody starts it: nothing calls others of its own accord.",
            )
        ],
        sensors=[range_sensor(source)],
    )


def _plan(source: Source) -> dg.AssetsDefinition:
    @dg.asset(
        key=plan_key(source),
        group_name=_GROUP,
        kinds={"rest"},
        description=f"How long the list of {source.name} is, and the ranges that it is cut into:"
        f" they become the partitions of `{records_key(source).to_user_string()}`.",
    )
    def plan(
        context: dg.AssetExecutionContext, outside: OutsideResource
    ) -> dg.MaterializeResult[None]:
        with values_kept_out(feed=source.feed, stage="plan"):
            reach = Reach.of(outside.reach(), source, os.environ)
            counted = count(reach, source)
            counts = read_standing(reach, source).counts
        cut = partition(context.instance, source, counted)
        ledger = {
            f"ledger/{state}": getattr(counts, state)
            for state in ("planned", "fetched", "sent", "failed", "gone")
        }
        return dg.MaterializeResult(metadata={COUNT: counted, **cut, **ledger})

    return plan


def _records(source: Source) -> dg.AssetsDefinition:
    feed = sources.feed_of(source)

    @dg.asset(
        key=records_key(source),
        partitions_def=partitions(source),
        deps=[plan_key(source)],
        group_name=_GROUP,
        kinds={"rest", "sqs"},
        pool=fetch_job_name(source),
        metadata={"feed": feed.name, "queue": feed.queue},
        description=f"{source.description} A partition is a range of the list, and a run fetches"
        f" it and sends its records to {feed.queue}. A run that came to an early end is launched"
        " again, and goes on from there.",
    )
    def records(
        context: dg.AssetExecutionContext, outside: OutsideResource
    ) -> dg.MaterializeResult[None]:
        from pipeline.produce.fetch.fetching import fetch  # noqa: PLC0415 - late: httpx

        # Here and not at the job: the runs of a backfill of the asset are another job's.
        context.instance.add_run_tags(context.run.run_id, _longest(source))
        progress = Progress(context.log.info, pause=_PAUSE)
        ids = {"feed": feed.name, "run_id": context.run.run_id}
        with log_lines.of_op(context.log, **ids), values_kept_out(feed=feed.name, stage="fetch"):
            reach = Reach.of(outside.reach(), source, os.environ)
            page_range = PageRange.parse(context.partition_key)
            done = fetch(reach, source, feed, page_range, tell=progress)
            standing = read_standing(reach, source)
        return dg.MaterializeResult(
            metadata={
                **progress.figures(done),
                "failed records of all ranges": failed_records(standing),
            }
        )

    return records


def _retry_job(source: Source) -> dg.JobDefinition:
    feed = sources.feed_of(source)

    @dg.op(name=f"refetch_{source.name}", pool=fetch_job_name(source))
    def refetch(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Asks for each record again that failed, with all its attempts before it."""
        from pipeline.produce.fetch.fetching import retry_failed  # noqa: PLC0415 - as above

        progress = Progress(context.log.info, pause=_PAUSE)
        ids = {"feed": feed.name, "run_id": context.run.run_id}
        with log_lines.of_op(context.log, **ids), values_kept_out(feed=feed.name, stage="retry"):
            reach = Reach.of(outside.reach(), source, os.environ)
            done = retry_failed(reach, source, feed, tell=progress)
            standing = read_standing(reach, source)
            context.log.info("%s", progress.line(done))
        context.add_output_metadata(
            {**progress.figures(done), "failed records": failed_records(standing)}
        )
        # The asset would else show what failed before, until its next run.
        context.instance.report_runless_asset_event(none_failed(source, standing))

    @dg.job(
        name=f"retry_{source.name}",
        description=f"Tries the records of {source.name} again that failed.",
        tags={**_longest(source), **_BEHIND},
    )
    def the_job() -> None:
        refetch()

    return the_job


def _longest(source: Source) -> dict[str, str]:
    """The tag of a run that may take longer than one that holds messages."""
    return {"dagster/max_runtime": str(round(longest_run(source)))}
