"""The command of those who execute runs in warm workers: worker."""

import logging
import os
import sys
from typing import Annotated

import typer

from pipeline import log_lines
from pipeline.errors import SettingsError

app = typer.Typer()


@app.command()
def worker(
    concurrency: Annotated[
        int, typer.Option(min=1, help="Runs at the same time; each may hold a batch in memory.")
    ] = 1,
    grace: Annotated[
        float,
        typer.Option(min=0, help="Seconds for a run to end when told to stop; then it gives back."),
    ] = 20.0,
) -> None:
    """Execute Dagster's runs in a worker that has everything imported, from a broker's queue.

    It wants PIPELINE_CELERY_BROKER, PIPELINE_LAUNCHER=celery, and DAGSTER_HOME with
    deploy/dagster.yaml. SIGTERM and Ctrl-C end it: no further run is taken, and the one in flight
    ends within --grace, or gives back what it holds. A second one ends it there and then.

    Example: PIPELINE_CELERY_BROKER=redis://127.0.0.1:6379/0 pipeline worker
    """
    log_lines.install(os.environ, "%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("celery", "pipeline"):
        logging.getLogger(name).setLevel(logging.INFO)
    try:
        from pipeline.warm.worker import work  # noqa: PLC0415 - late, as in pipeline.cli
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed",
            remedy="Install the extra: `make setup`, or pip install '.[celery]' in the checkout",
        ) from None
    sys.exit(work(os.environ, concurrency=concurrency, grace=grace))
