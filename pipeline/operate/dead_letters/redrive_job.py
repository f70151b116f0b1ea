"""The job that redrives a feed's dead letters, for those who work in the web UI."""

import threading
from typing import Any, Final, get_args

import dagster as dg

from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.operate.dead_letters.order import EVERYTHING, FASTEST, Order, Way
from pipeline.operate.dead_letters.redrive import redrive
from pipeline.operate.long_runs import POOL, long_run
from pipeline.operate.statement import check_reason, check_text
from pipeline.resources.outside_resource import OutsideResource

_DEFAULT: Final = "as the feed allows"
_WAY: Final = dg.Enum("WayOfDeadLetters", [dg.EnumValue(way) for way in (_DEFAULT, *get_args(Way))])
_HOURS: Final = 7 * 24  # at a gentle rate so many may take days


def redrive_job(feed: Feed) -> dg.JobDefinition:
    """The job of one feed. It is given no queue: there is only the feed's own."""

    @dg.op(
        name=f"redrive_letters_{feed.name}",
        pool=POOL,
        config_schema={
            "reason": dg.Field(
                str, description="Why, in words that an auditor will understand. It is kept."
            ),
            "stated_by": dg.Field(str, description="Who asks."),
            "per_second": dg.Field(
                dg.Int, default_value=50, description=f"Messages a second, 1 to {FASTEST}."
            ),
            "most": dg.Field(
                dg.Int,
                default_value=EVERYTHING,
                description="Messages at most; the default means all of them.",
            ),
            "way": dg.Field(
                _WAY,
                default_value=_DEFAULT,
                description="move: SQS moves them, under new ids and times. copy: each is sent"
                f" again as who it was. {_DEFAULT}: the way in which nothing of the feed changes.",
            ),
        },
    )
    def letters(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Puts dead letters back on the feed's queue."""
        given: dict[str, Any] = context.op_config
        with values_kept_out(feed=feed.name, stage="dead letters"):
            order = Order(
                feed=feed,
                reason=check_reason(given["reason"]),
                stated_by=check_text(given["stated_by"]),
                per_second=given["per_second"],
                most=given["most"],
                way=None if given["way"] == _DEFAULT else given["way"],
            )
            # Nobody sets it: Dagster stops a run by an exception, which ends a redrive as well.
            never = threading.Event()
            tally = redrive(outside.reach(), order, stop=never, tell=context.log.info)
        context.log.info("%s", tally)
        context.add_output_metadata(
            {
                "moved": tally.moved,
                "failed": tally.failed,
                "moved but not deleted": tally.kept,
                "another queue's": tally.foreign,
                "left": tally.left,
            }
        )

    @dg.job(
        name=f"redrive_dead_letters_{feed.name}",
        description=f"Puts the dead letters of {feed.queue} back on it: to no other queue, recorded"
        " in the audit, at a rate that the table can take. It may be stopped at any moment.",
        tags=long_run(_HOURS),
    )
    def the_job() -> None:
        letters()

    return the_job
