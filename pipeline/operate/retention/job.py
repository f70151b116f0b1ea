"""The retention in Dagster: a job, and a schedule that runs it every day."""

import os
from typing import Final

import dagster as dg

from pipeline.errors import values_kept_out
from pipeline.operate.retention.retain import SECONDS, retain
from pipeline.operate.retention.settings import read_retention
from pipeline.resources.outside_resource import OutsideResource

_TAGS: Final = {"dagster/max_runtime": str(2 * int(SECONDS))}


def retention() -> dg.Definitions:
    """The job `retention` and its schedule."""

    @dg.op(name="prune", description="Deletes what is older than its days, in small portions.")
    def prune(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        with values_kept_out(stage="retention"):
            days = read_retention(os.environ)
            url = outside.reach().postgres_url
            pruned = retain(url, days, context.instance, context.log.info)
        for each in pruned:
            (context.log.info if each.finished else context.log.warning)("%s", each)
        context.add_output_metadata(
            {each.what: each.gone for each in pruned}
            | {"finished": all(each.finished for each in pruned)}
        )

    @dg.job(
        name="retention",
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
                name="retention_schedule",
                job=the_job,
                cron_schedule="41 3 * * *",
                execution_timezone="UTC",
                default_status=dg.DefaultScheduleStatus.RUNNING,
            )
        ],
    )
