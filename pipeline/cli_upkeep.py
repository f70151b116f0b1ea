"""The commands of upkeep: delete what is old, and see whether alerts reach people."""

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline.errors import AlertError, SettingsError

if TYPE_CHECKING:
    from pipeline.operate.retention.history import History

app = typer.Typer()
_out = Console(soft_wrap=True, highlight=False, markup=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


@app.command()
def retention(
    *,
    location: Annotated[
        str | None,
        typer.Option(help="The code location whose old runs go; needed where several run this."),
    ] = None,
) -> None:
    """Delete what is older than its days, as the daily job does; with DAGSTER_HOME old runs too.

    It may be stopped at any moment, and goes on where it was. Of Dagster's runs only this
    project's go. Days: docs/retention.md.
    """
    from pipeline.operate.retention.retain import retain  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.operate.retention.settings import read_retention  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    days = read_retention(os.environ)
    url = Outside.of(os.environ).postgres_url
    history = _history(location) if os.environ.get("DAGSTER_HOME") else None
    with _out.status("deleting") as status:
        pruned = retain(url, days, history, status.update)
    for each in pruned:
        _out.print(str(each))
    if history is not None and history.location is None:
        _out.print("runs: those of the command line only; --location names whose else may go")


def _history(location: str | None) -> "History":
    import dagster as dg  # noqa: PLC0415 - late, as above: 3 s

    from pipeline.definitions import defs  # noqa: PLC0415
    from pipeline.operate.retention.history import History, find_location  # noqa: PLC0415

    instance = dg.DagsterInstance.get()
    names = {job.name for job in defs().jobs or ()}
    return History(instance, location or find_location(instance), names)


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
