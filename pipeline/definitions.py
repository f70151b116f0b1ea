"""The composition root: all feeds, all sources, all resources, one executor."""

import os

import dagster as dg

from pipeline import log_lines, safeguards, sources
from pipeline.consume.asset import ingest
from pipeline.feeds import discover
from pipeline.operate.alerts.sensor import alerts
from pipeline.operate.canary_job import canary
from pipeline.operate.custody_jobs import custody_jobs
from pipeline.operate.dead_letters.asset import dead_letters
from pipeline.operate.quarantine.asset import quarantine
from pipeline.operate.retention.job import retention
from pipeline.operate.start_up.job import start_up
from pipeline.produce.fetch.jobs import fetching
from pipeline.produce.seed_job import seed_job
from pipeline.resources.outside_resource import OutsideResource


@dg.definitions
def defs() -> dg.Definitions:
    """Everything that is deployed; nothing happens before Dagster asks for it."""
    safeguards.install()
    log_lines.install(os.environ)
    feeds = discover()
    parts = dg.Definitions.merge(
        *(ingest(feed) for feed in feeds),
        *(fetching(source) for source in sources.discover()),
        *(dead_letters(feed) for feed in feeds),
        start_up(feeds),
        canary(feeds),
        alerts(feeds),
        quarantine(feeds),
        dg.Definitions(
            jobs=[job for feed in feeds for job in (seed_job(feed), *custody_jobs(feed))],
            resources={
                "outside": OutsideResource(),
                # Raw data passes from op to op in memory, within one process, and nowhere else:
                # docs/decisions/0002-in-process-and-in-memory.md
                "io_manager": dg.mem_io_manager,
            },
            executor=dg.in_process_executor,
        ),
    )
    return dg.Definitions.merge(parts, retention([job.name for job in parts.jobs or ()]))
