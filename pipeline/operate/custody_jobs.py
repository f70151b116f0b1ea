"""The jobs of those who keep persons and keys: prepare an unmasking, forget, rotate.

Dagster has no log-in and stores every event, so no job opens a pseudonym, and none takes a value.
"""

from collections.abc import Iterator
from typing import Any, Final

import dagster as dg

from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.operate import forget as forgetting
from pipeline.operate import unmask as opening
from pipeline.operate.columns import (
    OPENABLE,
    PSEUDONYMS,
    RENEWABLE,
    Policies,
    columns_of,
    find_column,
    read_pseudonyms,
)
from pipeline.operate.custody import load_keyring
from pipeline.operate.long_runs import POOL, long_run
from pipeline.operate.progress import seldom
from pipeline.operate.rotate import Order, rotate
from pipeline.operate.statement import check_reason, check_text
from pipeline.resources.outside_resource import OutsideResource
from pipeline.warehouse.audit import Request

_REASON: Final = dg.Field(
    str, description="Why, in words that an auditor will understand. It is kept for years."
)
_STATED_BY: Final = dg.Field(str, description="Who asks.")
_LISTED: Final = dg.Field(
    [str],
    description="Pseudonyms as they stand in the table. Never a value: what is entered here is"
    " stored, and everybody who sees this page can read it.",
)
_DELETE_ROWS: Final = dg.Field(
    bool,
    default_value=False,
    description="Delete the rows that carry the pseudonyms. Only a column with the policy vault"
    " can be forgotten without.",
)
_HOURS: Final = 7 * 24  # for a large table


def custody_jobs(feed: Feed) -> list[dg.JobDefinition]:
    """The jobs of a feed: those for which it has columns."""
    return list(_jobs(feed))


def _jobs(feed: Feed) -> Iterator[dg.JobDefinition]:
    if columns_of(feed, OPENABLE):
        yield _unmask_job(feed)
    if columns_of(feed, PSEUDONYMS):
        yield _forget_job(feed)
    if columns_of(feed, RENEWABLE):
        yield _rotate_job(feed)


def _unmask_job(feed: Feed) -> dg.JobDefinition:
    @dg.op(
        name=f"ask_{feed.name}",
        config_schema={
            "column": _choice(feed, OPENABLE, "Openable"),
            "pseudonyms": _LISTED,
            "reason": _REASON,
            "stated_by": _STATED_BY,
        },
    )
    def ask(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Records what is to be opened, and opens nothing."""
        given: dict[str, Any] = context.op_config
        with values_kept_out(feed=feed.name, stage="unmask"):
            reason, by = check_reason(given["reason"]), check_text(given["stated_by"])
            column = find_column(feed, given["column"], OPENABLE)
            tokens = read_pseudonyms(given["pseudonyms"], column)
            request = Request(feed.name, column.path, tokens, reason, by)
            number = opening.ask(outside.reach(), feed, column, request)
        command = f"pipeline unmask --request {number}"
        context.log.info("asked for %s: %d. To see: %s", column.name, len(tokens), command)
        context.add_output_metadata(
            {"column": column.name, "pseudonyms": len(tokens), "command": command}
        )

    @dg.job(
        name=f"unmask_{feed.name}",
        description="Prepares the unmasking of single pseudonyms. The values are never shown"
        " here: a custodian sees them at the command line, with the command that the run names.",
    )
    def the_job() -> None:
        ask()

    return the_job


def _forget_job(feed: Feed) -> dg.JobDefinition:
    @dg.op(
        name=f"erase_{feed.name}",
        config_schema={
            "column": _choice(feed, PSEUDONYMS, "Pseudonymised"),
            "pseudonyms": _LISTED,
            "reason": _REASON,
            "stated_by": _STATED_BY,
            "delete_rows": _DELETE_ROWS,
        },
    )
    def erase(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Forgets persons, and tells what could not be forgotten."""
        given: dict[str, Any] = context.op_config
        with values_kept_out(feed=feed.name, stage="forget"):
            reason, by = check_reason(given["reason"]), check_text(given["stated_by"])
            column = find_column(feed, given["column"], PSEUDONYMS)
            tokens = read_pseudonyms(given["pseudonyms"], column)
            reached = outside.reach()
            keyring = load_keyring(reached, reached.custodian_url(), feed)
            persons = forgetting.by_pseudonyms(feed, column, tokens, keyring)
            act = forgetting.delete_rows if given["delete_rows"] else forgetting.forget
            erasure = act(reached, persons, reason, by)
            lines = list(erasure.lines())
            context.log.info("%s", "\n".join(lines))
            erasure.check()
        context.add_output_metadata(
            {
                "column": column.name,
                "vault_rows_destroyed": erasure.destroyed,
                "rows": erasure.rows,
                "rows_deleted": erasure.deleted or 0,
                "report": dg.MetadataValue.md("\n".join(f"- {line}" for line in lines)),
            }
        )

    @dg.job(
        name=f"forget_{feed.name}",
        description="Forgets the persons that some pseudonyms stand for, and reports what could"
        " not be forgotten. For a person whose value is known: `pipeline forget`.",
    )
    def the_job() -> None:
        erase()

    return the_job


def _rotate_job(feed: Feed) -> dg.JobDefinition:
    @dg.op(
        name=f"renew_{feed.name}",
        pool=POOL,
        config_schema={
            "reason": dg.Field(
                str, default_value="a new key version", description="Why. It is kept for years."
            )
        },
    )
    def renew(context: dg.OpExecutionContext, outside: OutsideResource) -> None:
        """Gives the table's pseudonyms the current key version."""
        with values_kept_out(feed=feed.name, stage="rotate"):
            by = f"Dagster run {context.run.run_id}"
            order = Order(feed, check_reason(context.op_config["reason"]), by)
            rotation = rotate(outside.reach(), order, tell=seldom(context.log.info))
            for line in rotation.lines():
                context.log.info("%s", line)
            rotation.check()
        tally = rotation.tally
        context.add_output_metadata(
            {
                "version": rotation.version,
                "renewed": dict(tally.renewed),
                "not_in_the_vault": dict(tally.forgotten),
            }
        )

    @dg.job(
        name=f"rotate_{feed.name}",
        description=f"Gives the pseudonyms of {feed.table} the current key version, in place,"
        " while loads go on. It may be stopped at any moment, and goes on where it was.",
        tags=long_run(_HOURS),
    )
    def the_job() -> None:
        renew()

    return the_job


def _choice(feed: Feed, policies: Policies, kind: str) -> dg.Field:
    """One of the feed's columns, and nothing else."""
    columns = [each.name for each in columns_of(feed, policies)]
    values = [dg.EnumValue(name) for name in columns]
    # Dagster keeps one type of a name for the life of a process, whatever its values.
    name = f"{kind}ColumnOf_{feed.name}_{'_'.join(columns)}"
    return dg.Field(dg.Enum(name, values), description="The column that the pseudonyms are from.")
