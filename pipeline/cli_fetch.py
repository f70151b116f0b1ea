"""The command that fetches a source in this process, and tells where its records stand."""

import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline import sources

if TYPE_CHECKING:
    from pipeline.produce.fetch.fetched import Fetched
    from pipeline.produce.fetch.reach import Reach
    from pipeline.produce.fetch.report import Standing
    from pipeline.source import Source

app = typer.Typer()
_out = Console(soft_wrap=True, highlight=False, markup=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
_PAUSE = 15.0  # seconds between two lines, where they go to a file
_INTERRUPTED = 130  # as shells have it for Ctrl-C


@app.command()
def fetch(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A source, such as pokeapi.")],
    *,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again for the records that failed, only.")
    ] = False,
    status: Annotated[
        bool, typer.Option("--status", help="Show where the records stand, and ask for none.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The status as JSON, for programs.")
    ] = False,
) -> None:
    """Fetch a source's records that are new or may have changed, and put them on their queue.

    It may be stopped at any moment: started again, it goes on from there. It ends with 1 where
    records are given up, and --status names them.

    Example: pipeline fetch pokeapi && pipeline ingest pokemon
    """
    from pipeline.produce.fetch.reach import Reach  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.produce.fetch.report import read_standing  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    if (status and retry_failed) or (as_json and not status):
        raise typer.BadParameter("--status goes with --json, and with nothing else")
    chosen = sources.find(source)
    reach = Reach.of(Outside.of(os.environ), chosen, os.environ)
    if not status:
        with _stopped_cleanly():
            (_retry if retry_failed else _fetch)(reach, chosen)
    standing = read_standing(reach, chosen)
    if as_json:
        told = {"source": chosen.name, "feed": chosen.feed, **dataclasses.asdict(standing)}
        typer.echo(json.dumps(told, indent=2, default=str))
    else:
        _show(chosen, standing)
    if standing.counts.failed and not status:
        raise typer.Exit(1)


def _fetch(reach: "Reach", source: "Source") -> None:
    """The whole list, with a bar; or a line now and then where nobody looks at a terminal."""
    from rich.progress import Progress as Bar  # noqa: PLC0415 - late, as above

    from pipeline.produce.fetch.planning import count  # noqa: PLC0415
    from pipeline.produce.fetch.progress import Progress  # noqa: PLC0415
    from pipeline.produce.fetch.whole import fetch_whole  # noqa: PLC0415

    counted = count(reach, source)
    progress = Progress(_out.print, pause=_PAUSE)
    with Bar(console=_out, transient=True, disable=not _out.is_terminal) as bar:
        task = bar.add_task(source.name, total=counted)

        def tell(place: int, done: "Fetched") -> None:
            bar.update(task, completed=place, description=progress.line(done))
            if not _out.is_terminal:
                progress(done)

        done = fetch_whole(reach, source, sources.feed_of(source), counted, tell=tell)
    _out.print(f"{counted} records in the list: {progress.line(done)}")


def _retry(reach: "Reach", source: "Source") -> None:
    """What failed, with a line now and then."""
    from pipeline.produce.fetch.fetching import retry_failed  # noqa: PLC0415 - late, as above
    from pipeline.produce.fetch.progress import Progress  # noqa: PLC0415

    progress = Progress(_out.print, pause=_PAUSE)
    done = retry_failed(reach, source, sources.feed_of(source), tell=progress)
    _out.print(f"tried again: {progress.line(done)}")


@contextmanager
def _stopped_cleanly() -> Iterator[None]:
    """Lets SIGTERM do what Ctrl-C does, and says that nothing is lost by either."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    except KeyboardInterrupt:
        _err.print("stopped: what was sent is noted, and the same command goes on from there")
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def _show(source: "Source", standing: "Standing") -> None:
    """The records by state, and those that failed."""
    counts = dataclasses.asdict(standing.counts)
    _out.print("the ledger: " + ", ".join(f"{state} {n}" for state, n in counts.items()))
    if not standing.failures:
        return
    table = Table("failed (UTC)", "attempts", "reason", "record", box=None)
    for each in standing.failures:
        at = each.failed_at.astimezone(UTC)
        table.add_row(f"{at:%Y-%m-%d %H:%M:%S}", str(each.attempts), each.reason, each.item)
    _out.print(table)
    if (more := counts["failed"] - len(standing.failures)) > 0:
        _out.print(f"and {more} more")
    _out.print(f"To try them again: pipeline fetch {source.name} --retry-failed")
