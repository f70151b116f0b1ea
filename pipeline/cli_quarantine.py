"""The commands of those who handle the quarantine: list, look, redrive, purge."""

import dataclasses
import json
import os
import sys
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer
from rich.console import Console

from pipeline import feeds
from pipeline.errors import QuarantineError
from pipeline.terminal import printable, who, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.contract import Feed
    from pipeline.operate.quarantine.looking import Opened
    from pipeline.resources.outside import Outside
    from pipeline.warehouse.quarantine import Selection

app = typer.Typer()
quarantine = typer.Typer(
    no_args_is_help=True, help="The quarantine: list it, look at one message, redrive, purge."
)
app.add_typer(quarantine, name="quarantine")
_out = Console(soft_wrap=True, highlight=False, markup=False)

_ANY: Final = "0h"

FeedName = Annotated[str, typer.Argument(metavar="FEED", help="A feed, such as user_logins.")]
Reason = Annotated[
    str, typer.Option(help="Why, in words that an auditor will understand. It is kept for years.")
]
By = Annotated[str | None, typer.Option(help="Who asks; else the user of this machine.")]
Code = Annotated[
    list[str] | None,
    typer.Option(metavar="CODE", help="Only with this reason code, such as bad_date. Repeatable."),
]
Age = Annotated[
    str,
    typer.Option(metavar="AGE", help="Only what has lain there for so long: 7d, 12h."),
]


@quarantine.command("list")
def list_(
    feed: FeedName,
    code: Code = None,
    older_than: Age = _ANY,
    messages: Annotated[
        int, typer.Option(min=0, help="Name so many single messages, the latest first.")
    ] = 0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Show what lies in the quarantine by reason, and when it came; never what it holds."""
    from pipeline.display import show_quarantine  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.operate.quarantine import choosing  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    outside, chosen = Outside.of(os.environ), feeds.find(feed)
    selection = _choose(outside, chosen, [], code, older_than)
    groups = choosing.count(outside, chosen, selection)
    named = choosing.list_messages(outside, chosen, selection, messages) if messages else []
    if as_json:
        listed = {
            "groups": [dataclasses.asdict(each) for each in groups],
            "messages": [{**dataclasses.asdict(each), "key": each.key.hex()} for each in named],
        }
        typer.echo(json.dumps({feed: listed}, indent=2, default=str))
        return
    show_quarantine(_out, groups, named)


@quarantine.command()
def look(
    feed: Annotated[str | None, typer.Argument(metavar="FEED", help="A feed.")] = None,
    message: Annotated[
        str | None, typer.Argument(metavar="MESSAGE", help="Its handle, as it is listed.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept for years.")] = None,
    by: By = None,
    request: Annotated[
        UUID | None, typer.Option(help="Open what a run of the job look_FEED has prepared.")
    ] = None,
) -> None:
    """Show one message to a custodian, once the record of it is committed.

    Example: pipeline quarantine look user_logins 3f9a1c04b2d7 --reason "Ticket 4711"
    """
    from pipeline.operate.quarantine import looking  # noqa: PLC0415 - late, as above
    from pipeline.operate.statement import check_reason  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    if request is not None:
        if feed or reason:
            raise typer.BadParameter("--request says already what and why")
        _show(looking.look_asked(Outside.of(os.environ), request, who(by)))
        return
    if not feed or not message or reason is None:
        raise typer.BadParameter("give FEED, MESSAGE and --reason, or --request")
    outside, chosen = Outside.of(os.environ), feeds.find(feed)
    why, name = check_reason(reason), who(by)
    (key,) = _choose(outside, chosen, [message], None, _ANY).keys or ()
    _show(looking.look(outside, chosen, key, reason=why, stated_by=name))


@quarantine.command()
def redrive(  # noqa: PLR0917 - typer names them all
    feed: FeedName,
    message: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MESSAGE...]", help="Their handles, as they are listed."),
    ] = None,
    code: Code = None,
    older_than: Age = _ANY,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept for years.")] = None,
    by: By = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Messages a second at most.")] = 100,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that lies there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Put messages back on their feed's queue, to be settled by the contract of today.

    Each keeps its event id and the time of its first sending. It may be stopped at any moment.

    Example: pipeline quarantine redrive user_logins --code missing --reason "Ticket 4711"
    """
    from pipeline.display import show_quarantine  # noqa: PLC0415 - late, as above
    from pipeline.operate.quarantine import choosing, redriving  # noqa: PLC0415
    from pipeline.operate.statement import check_reason  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    if everything is bool(message or code or older_than != _ANY):
        raise typer.BadParameter("give MESSAGE, --code or --older-than, or --all")
    outside, chosen = Outside.of(os.environ), feeds.find(feed)
    selection = _choose(outside, chosen, message or [], code, older_than)
    groups = choosing.count(outside, chosen, selection)
    show_quarantine(_out, groups)
    for line in choosing.warnings(groups):
        _out.print(line)
    if dry_run:
        return
    redriving.check_time(chosen, sum(each.messages for each in groups), rate)
    order = redriving.Order(
        feed=chosen,
        selection=selection,
        reason=check_reason(_stated(reason)),
        stated_by=who(by),
        rate=rate,
    )
    with _out.status("redriving") as status:
        done = redriving.redrive(outside, order, tell=status.update)
    with written():
        for line in done.lines():
            _out.print(line)


@quarantine.command()
def purge(
    feed: FeedName,
    older_than: Annotated[
        str,
        typer.Option(metavar="AGE", help="What has lain there for so long: 30d; a day or more."),
    ],
    code: Code = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept for years.")] = None,
    by: By = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Destroy messages of the quarantine for good.

    Example: pipeline quarantine purge user_logins --older-than 30d --reason "Ticket 4711"
    """
    from pipeline.display import show_quarantine  # noqa: PLC0415 - late, as above
    from pipeline.operate.quarantine import choosing, purging  # noqa: PLC0415
    from pipeline.operate.statement import check_reason  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    outside, chosen = Outside.of(os.environ), feeds.find(feed)
    selection = _choose(outside, chosen, [], code, older_than)
    show_quarantine(_out, choosing.count(outside, chosen, selection))
    if dry_run:
        return
    why, name = check_reason(_stated(reason)), who(by)
    with _out.status("purging") as status:
        purged = purging.purge(
            outside, chosen, selection, reason=why, stated_by=name, tell=status.update
        )
    with written():
        _out.print(f"purged: {purged}")


def _choose(
    outside: "Outside",
    feed: "Feed",
    handles: "Sequence[str]",
    codes: "Sequence[str] | None",
    older_than: str,
) -> "Selection":
    from pipeline.operate.quarantine import choosing  # noqa: PLC0415 - late, as above

    chosen, age = choosing.read_codes(codes or ()), choosing.read_age(older_than)
    return choosing.choose(outside, feed, handles=handles, codes=chosen, age=age)


def _stated(reason: str | None) -> str:
    if reason is None:
        raise QuarantineError(
            "no reason is given", remedy="Say why, with --reason; or only look, with --dry-run"
        )
    return reason


def _show(opened: "Opened") -> None:
    """Values to standard output and nowhere else."""
    with written():
        for name, value in (
            ("message id", opened.message_id),
            ("first sent", opened.sent_at.isoformat()),
            ("event id", opened.event_id or ""),
            ("body", opened.body),
        ):
            sys.stdout.write(f"{name}\t{printable(value)}\n")
