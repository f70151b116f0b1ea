"""The seed job: events on a feed's queue, started from the web UI."""

import os
from pathlib import Path

import dagster as dg
from pydantic import Field

from pipeline import log_lines
from pipeline.contract import Feed
from pipeline.errors import SeedError, values_kept_out
from pipeline.produce.generate import Recipe, evenly, generate
from pipeline.produce.seed import seed
from pipeline.produce.seed_file import read_events
from pipeline.resources.outside_resource import OutsideResource

SEED_FOLDER = "PIPELINE_SEED_DIR"
"""The environment variable that names the folder of the files that the job may send."""

_STEP = 1_000  # events between two lines of progress


class SeedConfig(dg.Config):
    """What the person who launches the job chooses."""

    count: int = Field(
        1_000,
        le=10_000_000,
        description="Messages to generate, repeated and broken ones included",
    )
    random_seed: int | None = Field(None, description="The same seed gives the same values")
    duplicates: float = Field(0.02, description="Share of messages that repeat an earlier one")
    malformed: float = Field(0.02, description="Share of broken messages, of all kinds evenly")
    distinct: float = Field(1.0, description="Distinct values of a masked field, as a share")
    file: str | None = Field(
        None, description=f"Send this file of the folder {SEED_FOLDER} instead of generating"
    )


def seed_job(feed: Feed) -> dg.JobDefinition:
    """The seed job of one feed."""

    @dg.op(name=f"send_{feed.name}", description=f"Sends events to {feed.queue}.")
    def send(context: dg.OpExecutionContext, config: SeedConfig, outside: OutsideResource) -> None:
        told = 0

        def progress(sent: int) -> None:
            nonlocal told
            if sent - told >= _STEP:
                told = sent
                context.log.info("sent %d", sent)

        ids = log_lines.of_op(context.log, feed=feed.name, run_id=context.run_id)
        with ids, values_kept_out(feed=feed.name, stage="seed"):
            events = (
                generate(feed, _recipe(feed, config))
                if config.file is None
                else read_events(_path(config.file))
            )
            sent = seed(outside.reach().queue_for_a_run(feed), events, progress=progress)
            context.log.info("sent %d in all", sent)
        context.add_output_metadata({"sent": sent})

    @dg.job(
        name=f"seed_{feed.name}",
        description=f"Puts events on {feed.queue}, generated from the contract or from a file.",
    )
    def the_job() -> None:
        send()

    return the_job


def _recipe(feed: Feed, config: SeedConfig) -> Recipe:
    return Recipe(
        count=config.count,
        random_seed=config.random_seed,
        duplicates=config.duplicates,
        malformed=evenly(feed, config.malformed),
        distinct=config.distinct,
    )


def _path(name: str) -> Path:
    """The file of that name in the seed folder; run config must not reach anything else."""
    folder = os.environ.get(SEED_FOLDER)
    if not folder:
        raise SeedError(
            "no folder of seed files is set up",
            remedy=f"Set {SEED_FOLDER} where Dagster runs, or use `pipeline seed FEED --file`",
        )
    try:
        found = [path for path in Path(folder).iterdir() if path.name == name]
    except OSError:
        found = []
    if not found:  # the name is not repeated: run config can take it from the environment
        raise SeedError(
            "there is no such file in the folder of seed files",
            remedy=f"Put it into the folder that {SEED_FOLDER} names",
        )
    return found[0]
