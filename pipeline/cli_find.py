"""The command of those who follow one event: find."""

import dataclasses
import json
import os
from typing import Annotated

import typer

from pipeline import feeds

app = typer.Typer()


@app.command()
def find(
    feed: Annotated[str, typer.Argument(metavar="FEED", help="A feed, such as user_logins.")],
    event: Annotated[
        str | None, typer.Option(metavar="ID", help="The event's id, as its producer was answered.")
    ] = None,
    message: Annotated[
        str | None, typer.Option(metavar="ID", help="SQS's id of the message.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Say what became of one event: settled or quarantined, when, by which run, in which batch.

    The ledger knows events by a keyed digest of their ids, so this needs the keyring. In the
    quarantine a message is found by --message. What is in neither waits on a queue, or never came:
    exit status 1.

    Example: pipeline find user_logins --event rest:acme:0d8f3a54-3f0c-4f4e-a3c1-6f0a7d7e9a11
    """
    from pipeline.operate.find import find as look  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    found = look(Outside.of(os.environ), feeds.find(feed), event_id=event, message_id=message)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(each) for each in found], default=str))
    for each in () if as_json else found:
        why = ", ".join(filter(None, (each.reason, each.field)))
        batch = f"by run {each.run_id}, batch {each.batch}" if each.run_id else "by a past run"
        typer.echo(f"{each.state} at {each.at.isoformat()} {batch}{why and f': {why}'}")
    if not found:
        typer.echo("neither in the ledger nor in the quarantine", err=True)
        raise typer.Exit(1)
