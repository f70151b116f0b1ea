"""What chaos deploys to Dagster: all that the project deploys, for the feeds of chaos."""

import dagster as dg

from chaos.feed import chaos_feeds
from pipeline import safeguards
from pipeline.consume.asset import ingest
from pipeline.operate.alerts.sensor import alerts
from pipeline.operate.custody_jobs import custody_jobs
from pipeline.operate.dead_letters.asset import dead_letters
from pipeline.operate.quarantine.asset import quarantine
from pipeline.operate.retention.job import retention
from pipeline.operate.start_up.job import start_up
from pipeline.resources.outside_resource import OutsideResource


@dg.definitions
def defs() -> dg.Definitions:
    """As `pipeline.definitions`, but for what sends: chaos has senders of its own."""
    safeguards.install()
    feeds = chaos_feeds()
    parts = dg.Definitions.merge(
        *(ingest(feed) for feed in feeds),
        *(dead_letters(feed) for feed in feeds),
        start_up(feeds),
        alerts(feeds),
        quarantine(feeds),
        dg.Definitions(
            jobs=[job for feed in feeds for job in custody_jobs(feed)],
            resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
            executor=dg.in_process_executor,
        ),
    )
    return dg.Definitions.merge(parts, retention([job.name for job in parts.jobs or ()]))
