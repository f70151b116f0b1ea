"""What the crash matrix deploys: the logins of the project, in small batches, enriched."""

import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import dagster as dg

from pipeline import feeds, safeguards
from pipeline.consume.asset import ingest
from pipeline.contract import Feed, Field, Limits
from pipeline.enrichment import ENRICHED, Enrichment, Record
from pipeline.masking.policies import Keep
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import Integer

BATCH: Final = 30
"""Messages of one run: three calls each to receive and to delete them."""

VISIBILITY: Final = 120
"""Seconds for which a run that is gone keeps its messages from others."""

DELIVERIES: Final = 20
"""After so many SQS gives a message up: as many as we ask for."""

POISON: Final = "poison"
"""The type of a device whose login ends whatever process reads it."""

_LIMITS: Final = Limits(
    batch_messages=BATCH,
    run_messages=BATCH,
    receivers=2,
    receive_seconds=20.0,
    visibility_seconds=VISIBILITY,
    linger_messages=BATCH,
)


async def _measure(record: Record) -> Mapping[str, object]:
    if record["device_type"] == POISON:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory has run out
    return {"letters": len(str(record["device_type"]))}


def crash_feed() -> Feed:
    """The logins, and how long the name of the device's type is: a run that has every stage."""
    logins = feeds.find("user_logins")
    letters = Field(f"{ENRICHED}letters", Integer(), Keep(), description="Of the device's type.")
    return replace(
        logins,
        fields=(*logins.fields, letters),
        limits=_LIMITS,
        enrichment=Enrichment(_measure),
    )


@dg.definitions
def defs() -> dg.Definitions:
    """As `pipeline.definitions`, for this feed alone."""
    safeguards.install()
    return dg.Definitions.merge(
        ingest(crash_feed()),
        dg.Definitions(
            resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
            executor=dg.in_process_executor,
        ),
    )
