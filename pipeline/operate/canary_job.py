"""The canary in Dagster: an asset that holds its seconds, a check that it arrives, a schedule."""

import os
from collections.abc import Iterable
from typing import Final

import dagster as dg

from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.operate.canary import Fate, Flight, fly, read_settings
from pipeline.resources.outside_resource import OutsideResource

FEED: Final = "messages"
"""The feed through which canaries are sent: its messages have a type and a time."""

_ASSET: Final = "canary"
_JOB: Final = "send_canary"  # Dagster refuses a job of an asset's name
_CHECK: Final = "canary_arrives"
_ADVICE: Final = {
    Fate.ARRIVED: "",
    Fate.NOT_ACCEPTED: "Look at the REST service, the gateway in front of it, and the API key",
    Fate.ON_ITS_WAY: "Look at the queue's depth, the sensor and the latest runs",
    Fate.QUARANTINED: "Hold the feed's contract against what a canary is",
}


def canary(feeds: Iterable[Feed]) -> dg.Definitions:
    """The canary of the feed `messages`; nothing where there is no such feed."""
    for feed in feeds:
        if feed.name == FEED:
            return _canary(feed)
    return dg.Definitions()


def _canary(feed: Feed) -> dg.Definitions:
    @dg.asset(
        name=_ASSET,
        group_name="canary",
        kinds={"postgres"},
        description=f"How long an event takes from the public API to a row of {feed.table}.",
        check_specs=[
            dg.AssetCheckSpec(
                _CHECK, asset=_ASSET, description="the event is a row within its time"
            )
        ],
    )
    def the_asset(outside: OutsideResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows it bare
        with values_kept_out(feed=feed.name, stage="canary"):
            settings = read_settings(os.environ)
            flight = fly(settings, feed, outside.reach())
        return dg.MaterializeResult(
            metadata={
                "seconds": flight.seconds,
                "limit (s)": settings.seconds,
                "fate": flight.fate.value,
                "rows removed": flight.removed,
            },
            check_results=[_result(flight)],
        )

    job = dg.define_asset_job(
        _JOB,
        selection=dg.AssetSelection.assets(_ASSET),
        description=f"Sends an event through the public API and waits until it is in {feed.table}.",
    )
    return dg.Definitions(
        assets=[the_asset],
        jobs=[job],
        schedules=[
            dg.ScheduleDefinition(
                name="canary_schedule",
                job=job,
                cron_schedule="*/5 * * * *",
                description="Sends a canary every five minutes. Stopped until somebody starts it,"
                " once PIPELINE_CANARY_URL is set: docs/services.md.",
                # It says nothing of worth before the deployment has named the public address.
                default_status=dg.DefaultScheduleStatus.STOPPED,
            )
        ],
    )


def _result(flight: Flight) -> dg.AssetCheckResult:
    detail = f" ({flight.detail})" if flight.detail else ""
    told = f"{flight.fate.value}{detail}, after {flight.seconds:.1f} s"
    return dg.AssetCheckResult(
        check_name=_CHECK,
        passed=flight.fate is Fate.ARRIVED,
        description=f"{told}. {_ADVICE[flight.fate]}".removesuffix(" "),
        metadata={"seconds": flight.seconds},
    )
