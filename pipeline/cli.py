"""The command line: each command is a few lines over the rooms."""

import dataclasses
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pipeline import (
    cli_api_keys,
    cli_check,
    cli_custody,
    cli_dead_letters,
    cli_exporter,
    cli_fetch,
    cli_find,
    cli_quarantine,
    cli_serve,
    cli_traffic,
    cli_upkeep,
    cli_worker,
    feeds,
    log_lines,
    safeguards,
)
from pipeline.errors import PipelineError, values_kept_out
from pipeline.local import services
from pipeline.resources.settings import without_services

if TYPE_CHECKING:
    from pipeline.messages import Event

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks show local variables, and so messages
    help="Moves events from SQS into Postgres tables: masked, complete, each exactly once.\n\n"
    "Without settings it works on an embedded queue and an embedded Postgres. Set "
    "PIPELINE_POSTGRES_URL and the usual AWS variables to work on real ones.",
)
app.add_typer(cli_custody.app)
app.add_typer(cli_quarantine.app)
app.add_typer(cli_api_keys.app)
app.add_typer(cli_check.app)
app.add_typer(cli_dead_letters.app)
app.add_typer(cli_exporter.app)
app.add_typer(cli_fetch.app)
app.add_typer(cli_find.app)
app.add_typer(cli_serve.app)
app.add_typer(cli_traffic.app)
app.add_typer(cli_upkeep.app)
app.add_typer(cli_worker.app)
_out = Console()
_err = Console(stderr=True, soft_wrap=True, highlight=False)

FeedName = Annotated[str, typer.Argument(metavar="FEED", help="A feed, such as user_logins.")]


def main() -> None:
    """The console script: an error of ours is one line, and exit status 1."""
    safeguards.install()
    try:
        log_lines.install(os.environ)
        with values_kept_out(stage="command line"):
            app()
    except PipelineError as error:
        _complain(error)
        sys.exit(1)


def _complain(error: PipelineError) -> None:
    if os.environ.get(log_lines.SETTING) == "json":
        told = log_lines.line(
            str(error), logger="pipeline.cli", level="ERROR", told={"code": error.code}
        )
        log_lines.write(told, sys.stderr)
        return
    _err.print("error", style="bold red", end=" ")
    _err.print(str(error), markup=False)


@app.command()
def demo() -> None:
    """Show the whole thing: seed a queue, let sensor and job work, account for every message.

    Always on the embedded services, whatever the environment says.
    """
    chosen = without_services(os.environ)
    for name in set(os.environ) - set(chosen):
        del os.environ[name]
    with _out.status("starting the embedded queue and Postgres"):
        before = services.find_running(services.local_folder())
        from pipeline import demo as demonstration  # noqa: PLC0415 - Dagster and pandas: 3 s
        from pipeline.definitions import defs  # noqa: PLC0415
        from pipeline.display import show_report  # noqa: PLC0415
        from pipeline.resources.outside import Outside  # noqa: PLC0415

        outside = Outside.of(os.environ)
    feed = feeds.find("user_logins")
    try:
        with _out.status("working"):
            report = demonstration.run(
                defs(), feed, outside, tell=lambda line: _out.print(f"  {line}", highlight=False)
            )
    finally:
        if before is None:
            services.stop(services.local_folder())
    show_report(_out, report)


@app.command()
def seed(  # noqa: PLR0917 - typer names them all
    feed: FeedName,
    count: Annotated[int, typer.Option(min=1, help="Messages to generate.")] = 1_000,
    file: Annotated[
        Path | None, typer.Option(help="Send this file instead: .json or .jsonl, or with .gz.")
    ] = None,
    random_seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same values.")
    ] = None,
    duplicates: Annotated[
        float, typer.Option(help="Share of messages that repeat an earlier one.")
    ] = 0.0,
    malformed: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SHARE|REASON=SHARE",
            help="Share of broken messages, of all kinds evenly or for one reason code.",
        ),
    ] = None,
    distinct: Annotated[
        float, typer.Option(help="Distinct values of a masked field, as a share of COUNT.")
    ] = 1.0,
) -> None:
    """Put events on a feed's queue, generated from its contract or from a file.

    Example: pipeline seed user_logins --count 5000 --duplicates 0.1 --malformed not_json=0.02
    """
    from pipeline.produce import generate, seed_file  # noqa: PLC0415 - late, as above
    from pipeline.produce import seed as sender  # noqa: PLC0415
    from pipeline.produce.shares import read_shares  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    chosen = feeds.find(feed)
    events: Iterable[Event]
    if file is not None:
        events = seed_file.read_events(file)
    else:
        recipe = generate.Recipe(
            count=count,
            random_seed=random_seed,
            duplicates=duplicates,
            malformed=read_shares(chosen, malformed or []),
            distinct=distinct,
        )
        recipe.check(chosen)
        events = generate.generate(chosen, recipe)
    queue = Outside.of(os.environ).queue_for_a_run(chosen)
    with _out.status("sending") as status:
        sent = sender.seed(queue, events, progress=lambda sent: status.update(f"sent {sent:,}"))
    _out.print(f"sent {sent} events to {chosen.queue}", highlight=False)


@app.command()
def ingest(feed: FeedName) -> None:
    """Drain a feed's queue in this process, through the same job that the sensor launches.

    With DAGSTER_HOME set, its runs show in the web UI. A check that fails is named on standard
    error; the batch is committed all the same.
    """
    import dagster as dg  # noqa: PLC0415 - late, as above

    from pipeline.definitions import defs  # noqa: PLC0415
    from pipeline.operate.drain import drain  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    chosen = feeds.find(feed)
    outside = Outside.of(os.environ)
    stored = bool(os.environ.get("DAGSTER_HOME"))
    with (
        dg.DagsterInstance.get() if stored else dg.DagsterInstance.ephemeral() as instance,
        _out.status("ingesting"),
    ):
        for run in drain(defs(), chosen, outside, instance):
            _out.print(
                "received {received}: loaded {rows}, duplicate {duplicate},"
                " quarantined {quarantined}, released {released}".format(**run.numbers),
                highlight=False,
            )
            for check in run.checks:
                if not check.passed:
                    verdict = "failed" if check.severity is dg.AssetCheckSeverity.ERROR else "warns"
                    _err.print(
                        f"check {check.check_name} {verdict}: {check.description}", markup=False
                    )
    if held := outside.depth(chosen).in_flight:
        _out.print(
            f"{held} messages are held by another run; those of a run that was killed come back"
            f" within {chosen.limits.visibility_seconds} s",
            highlight=False,
        )


@app.command()
def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show each feed: depth, in flight, dead letters, rows, quarantine, latest batches."""
    from pipeline.display import show_status  # noqa: PLC0415 - late, as above
    from pipeline.operate.status import read_status  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    outside = Outside.of(os.environ)
    found = [read_status(outside, feed) for feed in feeds.discover()]
    if as_json:
        told = {each.feed: dataclasses.asdict(each) for each in found}
        typer.echo(json.dumps({"feeds": told}, indent=2, default=str))
        return
    for each in found:
        show_status(_out, each)


@app.command()
def url() -> None:
    """Print the warehouse's URL, password and all, as in: psql "$(pipeline url)"."""
    from pipeline.resources.outside import Outside  # noqa: PLC0415 - late, as above

    typer.echo(Outside.of(os.environ).postgres_url)


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="The port of the web UI.")] = 3000,
) -> None:
    """Open Dagster's web UI with the sensor running; its history is kept between starts."""
    from pipeline.operate.web_ui import open_web_ui  # noqa: PLC0415 - late, as above

    open_web_ui(port)


@app.command()
def stop() -> None:
    """Stop the embedded services; their data stays."""
    stopped = services.stop(services.local_folder())
    typer.echo(
        "stopped the embedded services; a `dagster dev` that still runs would start them again"
        if stopped
        else "no embedded services are running"
    )
