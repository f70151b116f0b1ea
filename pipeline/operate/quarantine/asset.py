"""The quarantine in Dagster: an asset for each feed that counts what lies there, every hour."""

from collections.abc import Iterable, Sequence
from typing import Final

import dagster as dg

from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.operate.quarantine.choosing import count
from pipeline.operate.quarantine.jobs import jobs
from pipeline.operate.quarantine.tables import table
from pipeline.resources.outside_resource import OutsideResource
from pipeline.warehouse.quarantine import Group, Selection

_GROUP: Final = "quarantine"
_JOB: Final = "list_quarantine"
_CHECK: Final = "nothing_in_quarantine"


def quarantine(feeds: Iterable[Feed]) -> dg.Definitions:
    """An asset and the jobs for each feed, and a schedule that counts."""
    feeds = list(feeds)
    assets = [_asset(feed) for feed in feeds]
    listing = dg.define_asset_job(
        _JOB,
        selection=dg.AssetSelection.assets(*(each.key for each in assets)),
        description="Counts what lies in the quarantine, by feed, reason and column.",
    )
    return dg.Definitions(
        assets=assets,
        jobs=[listing, *(job for feed in feeds for job in jobs(feed))],
        schedules=[
            dg.ScheduleDefinition(
                name="quarantine_schedule",
                job=listing,
                cron_schedule="7 * * * *",
                execution_timezone="UTC",
                description="Counts every hour what lies in the quarantine; it opens nothing.",
                default_status=dg.DefaultScheduleStatus.RUNNING,
            )
        ],
    )


def _asset(feed: Feed) -> dg.AssetsDefinition:
    key = dg.AssetKey([_GROUP, feed.name])

    @dg.asset(
        key=key,
        group_name=_GROUP,
        deps=[feed.name],
        kinds={"postgres"},
        description=f"The messages of {feed.queue} that broke the contract of {feed.name}, sealed."
        f" `look_{feed.name}` prepares a look at one, `redrive_{feed.name}` puts some back on"
        f" the queue, `purge_quarantine_{feed.name}` destroys old ones.",
        check_specs=[
            dg.AssetCheckSpec(_CHECK, asset=key, description="no message waits for a person")
        ],
    )
    def the_asset(outside: OutsideResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows it bare
        with values_kept_out(feed=feed.name, stage="quarantine"):
            groups = count(outside.reach(), feed, Selection(feed.name))
        return dg.MaterializeResult(metadata=_metadata(groups), check_results=[_verdict(groups)])

    return the_asset


def _metadata(groups: Sequence[Group]) -> dict[str, dg.MetadataValue | int]:
    told: dict[str, dg.MetadataValue | int] = {
        "messages": _total(groups),
        "by reason": table(groups),
    }
    if groups:
        told["oldest"] = dg.MetadataValue.timestamp(min(each.oldest for each in groups))
        told["newest"] = dg.MetadataValue.timestamp(max(each.newest for each in groups))
    return told


def _verdict(groups: Sequence[Group]) -> dg.AssetCheckResult:
    told = ", ".join(
        f"{each.reason} {each.field or ''}".strip() + f": {each.messages}" for each in groups
    )
    return dg.AssetCheckResult(
        check_name=_CHECK,
        passed=not groups,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{told}. Correct the contract or the producer, then redrive" if told else None,
        metadata={"messages": _total(groups)},
    )


def _total(groups: Sequence[Group]) -> int:
    return sum(each.messages for each in groups)
