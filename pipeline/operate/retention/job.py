"""The retention in Dagster: a job, and a schedule that runs it every day."""

import os
from collections.abc import Collection
from typing import Final

import dagster as dg

from pipeline.errors import values_kept_out
from pipeline.operate.long_runs import POOL, long_run
from pipeline.operate.retention.history import SCHEDULE, History, find_location, location_of
from pipeline.operate.retention.retain import SECONDS, retain
from pipeline.operate.retention.settings import read_retention
from pipeline.resources.outside_resource import OutsideResource

_JOB: Final = "retention"
_TAGS: Final = long_run(2 * int(SECONDS) // 3600)


def retention(jobs: Collection[str]) -> dg.Definitions:
    """The job `retention` and its schedule.

    Args:
        jobs: The names of all others.
    """
    names = {_JOB, *jobs}

    @dg.op(
        name="prune",
        pool=POOL,
        description="Deletes what is older than its days, in small portions.",
    )
    def prune(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        with values_kept_out(stage="retention"):
            days = read_retention(os.environ)
            url = outside.reach().postgres_url
            location = location_of(context.run) or find_location(context.instance)
            history = History(context.instance, location, names)
            pruned = retain(url, days, history, context.log.info)
        for each in pruned:
            is_well = each.finished and not each.trouble
            (context.log.info if is_well else context.log.warning)("%s", each)
        context.add_output_metadata(
            {f"deleted/{each.what}": each.gone for each in pruned}
            | {"finished": all(each.finished for each in pruned)}
        )

    @dg.job(
        name=_JOB,
        description="Deletes what is older than its days: of the ledger, the quarantine, the"
        " accounts, the audit and Dagster's own history. It may be stopped at any moment, and goes"
        " on where it was.",
        tags=_TAGS,
    )
    def the_job() -> None:
        prune()

    return dg.Definitions(
        jobs=[the_job],
        schedules=[
            dg.ScheduleDefinition(
                name=SCHEDULE,
                job=the_job,
                cron_schedule="41 3 * * *",
                execution_timezone="UTC",
                description="Deletes once a day what is older than its days: docs/retention.md.",
                default_status=dg.DefaultScheduleStatus.RUNNING,
            )
        ],
    )
