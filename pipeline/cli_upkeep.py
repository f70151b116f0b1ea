"""The commands of upkeep: delete what is old, and see whether alerts reach people."""

import os
from typing import Annotated

import typer
from rich.console import Console

from pipeline.errors import AlertError, SettingsError

app = typer.Typer()
_out = Console(soft_wrap=True, highlight=False, markup=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@app.command()
def retention() -> None:
    """Delete what is older than its days, as the daily job does; with DAGSTER_HOME old runs too.

    It may be stopped at any moment, and goes on where it was. Days: docs/retention.md.
    """
    import dagster as dg  # noqa: PLC0415 - late, as in pipeline.cli

    from pipeline.operate.retention.retain import retain  # noqa: PLC0415
    from pipeline.operate.retention.settings import read_retention  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    days = read_retention(os.environ)
    url = Outside.of(os.environ).postgres_url
    instance = dg.DagsterInstance.get() if os.environ.get("DAGSTER_HOME") else None
    with _out.status("deleting") as status:
        pruned = retain(url, days, instance, status.update)
    for each in pruned:
        _out.print(str(each))


@app.command()
def alert(
    *,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test alert to every channel that is set.")
    ] = False,
) -> None:
    """Show which channels take alerts; with --test, try each of them.

    It ends with 1 where none is set, or one did not take the alert. Settings: docs/alerts.md.
    """
    from pipeline.operate.alerts.settings import read_settings  # noqa: PLC0415 - late, as above
    from pipeline.operate.alerts.trial import try_channel  # noqa: PLC0415

    channels = read_settings(os.environ).channels
    if not channels:
        raise SettingsError("no channel is set", remedy="Set one of those in docs/alerts.md")
    failed = False
    for channel in channels:
        try:
            if test:
                try_channel(channel)
            _out.print(f"{channel.name}: {'took a test alert' if test else 'is set'}")
        except AlertError as error:
            failed = True
            _err.print(str(error))
    if failed:
        raise typer.Exit(1)
