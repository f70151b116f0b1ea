"""The jobs of those who handle the quarantine: prepare a look, redrive, purge.

Dagster has no log-in and stores every event, so no job shows what a message holds.
"""

from typing import Any, Final

import dagster as dg

from pipeline.contract import Feed
from pipeline.errors import QuarantineError, values_kept_out
from pipeline.operate.long_runs import POOL, long_run
from pipeline.operate.progress import seldom
from pipeline.operate.quarantine import choosing, looking, purging, redriving
from pipeline.operate.quarantine.tables import table
from pipeline.operate.statement import check_reason, check_text
from pipeline.reasons import Reason
from pipeline.resources.outside import Outside
from pipeline.resources.outside_resource import OutsideResource
from pipeline.warehouse.quarantine import Selection

_STATED: Final = {
    "reason": dg.Field(
        str, description="Why, in words that an auditor will understand. It is kept for years."
    ),
    "stated_by": dg.Field(str, description="Who asks."),
}
_DRY_RUN: Final = dg.Field(
    bool, default_value=True, description="Only count what would go. Set it to false to do it."
)
# Dagster keeps one type of a name for the life of a process.
_CODE: Final = dg.Enum("ReasonCode", [dg.EnumValue(each.value) for each in Reason])
_CODES: Final = dg.Field(
    dg.Array(_CODE), default_value=[], description="Only messages with one of these reason codes."
)
_HANDLES: Final = dg.Field(
    [str],
    default_value=[],
    description="Only these messages, by their handles: `pipeline quarantine list --messages 20`.",
)
_HOURS: Final = 24  # a large quarantine; a request is good for a day


def jobs(feed: Feed) -> list[dg.JobDefinition]:
    """The jobs of a feed."""
    return [_look_job(feed), _redrive_job(feed), _purge_job(feed)]


def _look_job(feed: Feed) -> dg.JobDefinition:
    @dg.op(
        name=f"ask_look_{feed.name}",
        config_schema={
            "message": dg.Field(
                str, description="Its handle: `pipeline quarantine list --messages 20` names them."
            ),
            **_STATED,
        },
    )
    def ask(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Records which message is to be looked at, and opens nothing."""
        given: dict[str, Any] = context.op_config
        with values_kept_out(feed=feed.name, stage="look"):
            why, name = check_reason(given["reason"]), check_text(given["stated_by"])
            reached = outside.reach()
            (key,) = choosing.choose(reached, feed, handles=[given["message"]]).keys or ()
            number = looking.ask(reached, feed, key, reason=why, stated_by=name)
        command = f"pipeline quarantine look --request {number}"
        context.log.info("asked for %s. To see: %s", choosing.handle_of(key), command)
        context.add_output_metadata({"message": choosing.handle_of(key), "command": command})

    @dg.job(
        name=f"look_{feed.name}",
        description="Prepares a look at one message of the quarantine. It is never shown here: a"
        " custodian sees it at the command line, with the command that the run names.",
    )
    def the_job() -> None:
        ask()

    return the_job


def _redrive_job(feed: Feed) -> dg.JobDefinition:
    @dg.op(
        name=f"send_again_{feed.name}",
        pool=POOL,
        config_schema={
            "messages": _HANDLES,
            "codes": _CODES,
            "older_than_days": dg.Field(
                float, default_value=0.0, description="Only what has lain there for so long."
            ),
            "everything": dg.Field(
                bool, default_value=False, description="All that lies there, of whatever reason."
            ),
            "rate": dg.Field(
                float, default_value=float(redriving.RATE), description="Messages a second at most."
            ),
            "dry_run": _DRY_RUN,
            **_STATED,
        },
    )
    def send_again(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Puts messages back on the queue, to be settled by the contract of today."""
        given: dict[str, Any] = context.op_config
        with values_kept_out(feed=feed.name, stage="redrive"):
            why, name = check_reason(given["reason"]), check_text(given["stated_by"])
            chosen = bool(given["messages"] or given["codes"] or given["older_than_days"])
            if given["everything"] is chosen:
                raise QuarantineError(
                    "it is not said which messages, or said twice",
                    remedy="Give messages, codes or older_than_days; or everything: true alone",
                    feed=feed.name,
                )
            reached = outside.reach()
            selection = _selection(reached, feed, given)
            total = _count(context, reached, feed, selection)
            if given["dry_run"]:
                return
            redriving.check_time(feed, total, given["rate"])
            order = redriving.Order(
                feed=feed, selection=selection, reason=why, stated_by=name, rate=given["rate"]
            )
            done = redriving.redrive(reached, order, tell=seldom(context.log.info))
        for line in done.lines():
            context.log.info("%s", line)
        context.add_output_metadata(
            {"redriven": done.sent, "refused": done.refused, "unreadable": done.unreadable}
        )

    @dg.job(
        name=f"redrive_{feed.name}",
        description=f"Puts messages of the quarantine back on {feed.queue}, as what they were: each"
        " keeps its event id and the time of its first sending, and is settled by the contract of"
        " today. It may be stopped at any moment, and begun again.",
        tags=long_run(_HOURS),
    )
    def the_job() -> None:
        send_again()

    return the_job


def _purge_job(feed: Feed) -> dg.JobDefinition:
    @dg.op(
        name=f"destroy_{feed.name}",
        pool=POOL,
        config_schema={
            "older_than_days": dg.Field(
                float, description="What has lain there for so long; one day or more."
            ),
            "codes": _CODES,
            "dry_run": _DRY_RUN,
            **_STATED,
        },
    )
    def destroy(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Destroys messages for good."""
        given: dict[str, Any] = context.op_config
        with values_kept_out(feed=feed.name, stage="purge"):
            why, name = check_reason(given["reason"]), check_text(given["stated_by"])
            reached = outside.reach()
            selection = _selection(reached, feed, given)
            _count(context, reached, feed, selection)
            if given["dry_run"]:
                return
            tell = seldom(context.log.info)
            purged = purging.purge(reached, feed, selection, reason=why, stated_by=name, tell=tell)
        context.log.info("purged: %d", purged)
        context.add_output_metadata({"purged": purged})

    @dg.job(
        name=f"purge_quarantine_{feed.name}",
        description="Destroys messages that have lain in the quarantine for long enough.",
        tags=long_run(_HOURS),
    )
    def the_job() -> None:
        destroy()

    return the_job


def _selection(outside: Outside, feed: Feed, given: dict[str, Any]) -> Selection:
    return choosing.choose(
        outside,
        feed,
        handles=given.get("messages", ()),
        codes=choosing.read_codes(given["codes"]),
        age=choosing.read_days(given["older_than_days"]),
    )


def _count(
    context: dg.OpExecutionContext, outside: Outside, feed: Feed, selection: Selection
) -> int:
    """Tells what is chosen, before anything is done to it, and how many messages that is."""
    groups = choosing.count(outside, feed, selection)
    for line in choosing.warnings(groups):
        context.log.warning("%s", line)
    total = sum(each.messages for each in groups)
    context.log.info("chosen: %d", total)
    # A dry run succeeds as well: its page says that nothing was done to what it counted.
    context.add_output_metadata(
        {"dry run": context.op_config["dry_run"], "chosen": total, "by reason": table(groups)}
    )
    return total
