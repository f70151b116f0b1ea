"""The command of those who watch: exporter."""

import os
import sys
from typing import Annotated

import typer

from pipeline import feeds
from pipeline.errors import SettingsError

app = typer.Typer()


@app.command()
def exporter(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 9400,
) -> None:
    """Serve Prometheus metrics of every feed, read from the tables and SQS at each scrape.

    It needs no Dagster, changes nothing and receives nothing. PIPELINE_MONITOR_URL is the
    warehouse with a log-in that may read counts alone; without it, PIPELINE_POSTGRES_URL serves.

    Example: pipeline exporter --port 9400
    """
    try:
        from pipeline.operate.metrics import collector, server  # noqa: PLC0415 - as in pipeline.cli
        from pipeline.operate.metrics.place import Place  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed",
            remedy="Install the extra: `make setup`, or pip install '.[metrics]' in the checkout",
        ) from None

    registry = collector.make_registry(Place.of(os.environ), feeds.discover())
    listening = server.listen(host, port, registry)
    address, taken = listening.server_address[:2]
    sys.stderr.write(f"listening on http://{address!s}:{taken}/metrics\n")
    sys.stderr.flush()
    server.run(listening)
