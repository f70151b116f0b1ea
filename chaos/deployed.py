"""What chaos deploys to Dagster: the project's own asset, job, sensor and checks of one feed."""

import dagster as dg

from chaos.feed import chaos_feed
from pipeline import safeguards
from pipeline.consume.asset import ingest
from pipeline.resources.outside_resource import OutsideResource


@dg.definitions
def defs() -> dg.Definitions:
    """As `pipeline.definitions`, for the feed of chaos alone."""
    safeguards.install()
    return dg.Definitions.merge(
        ingest(chaos_feed()),
        dg.Definitions(
            resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
            executor=dg.in_process_executor,
        ),
    )
