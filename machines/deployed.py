"""What the machines run, and what Dagster is told of: the one feed."""

import dagster as dg

from machines.feed import machines_feed
from pipeline import safeguards
from pipeline.consume.asset import ingest
from pipeline.resources.outside_resource import OutsideResource


@dg.definitions
def defs() -> dg.Definitions:
    """As `pipeline.definitions`, for the feed of the machines."""
    safeguards.install()
    return dg.Definitions.merge(
        ingest(machines_feed()),
        dg.Definitions(
            resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
            executor=dg.in_process_executor,
        ),
    )
