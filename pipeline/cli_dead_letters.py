"""The commands of those who look after dead letters: list and redrive."""

import getpass
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from pipeline import feeds
from pipeline.errors import QueueError, SettingsError

if TYPE_CHECKING:
    from pipeline.operate.dead_letters.look import Letters

app = typer.Typer()
dead_letters = typer.Typer(
    no_args_is_help=True, help="Messages that SQS took off their queue: list them, redrive them."
)
app.add_typer(dead_letters, name="dead-letters")
_out = Console(soft_wrap=True, highlight=False, markup=False)


@dead_letters.command("list")
def list_letters(
    feed: Annotated[
        str | None, typer.Argument(metavar="[FEED]", help="One feed; else all of them.")
    ] = None,
) -> None:
    """Show how many there are, how old the oldest is, and when SQS drops it for good.

    To learn the age, up to 50 messages of a queue are received and shown again at once. It ends
    with 1 where a queue could not be looked at.
    """
    from pipeline.operate.dead_letters.look import look  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    outside = Outside.of(os.environ)
    table = Table("feed", "queue", "depth", "in flight", "oldest", "dropped in", box=None)
    troubles: list[str] = []
    failed = False
    for each in [feeds.find(feed)] if feed else feeds.discover():
        try:
            queue = outside.dead_letters(each)
            seen = look(queue) if queue else None
        except QueueError as error:  # the others can be looked at all the same
            table.add_row(each.name, error.code, "?", "?", "?", "?")
            troubles.append(str(error))
            failed = True
            continue
        if seen is None:
            table.add_row(each.name, "none", "-", "-", "-", "-")
            continue
        table.add_row(each.name, seen.queue, str(seen.waiting), str(seen.in_flight), *_ages(seen))
        troubles += _troubles(seen)
    _out.print(table)
    for trouble in troubles:
        _out.print(trouble)
    if failed:
        raise typer.Exit(1)


@dead_letters.command("redrive")
def redrive_letters(  # noqa: PLR0917 - typer names them all
    feed: Annotated[str, typer.Argument(metavar="FEED", help="A feed, such as user_logins.")],
    reason: Annotated[
        str, typer.Option(help="Why, in words that an auditor will understand. It is kept.")
    ],
    rate: Annotated[int, typer.Option(min=1, max=500, help="Messages a second at most.")] = 50,
    most: Annotated[int | None, typer.Option(min=1, help="Messages at most; else all.")] = None,
    way: Annotated[
        str | None,
        typer.Option(
            metavar="copy|move", help="By default the one in which nothing of the feed changes."
        ),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who asks; else the user of this machine.")] = None,
) -> None:
    """Put a feed's dead letters back on its own queue, where they are settled as ever.

    It may be stopped with Ctrl-C at any moment, and started again: what was sent twice is loaded
    once.

    Example: pipeline dead-letters redrive user_logins --reason "Ticket 4711: table mended"
    """
    from pipeline.operate.dead_letters.order import EVERYTHING, Order, read_way  # noqa: PLC0415 - late, as above
    from pipeline.operate.dead_letters.redrive import redrive  # noqa: PLC0415
    from pipeline.operate.statement import check_reason  # noqa: PLC0415
    from pipeline.operate.told_to_stop import ToldToStop  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    order = Order(
        feed=feeds.find(feed),
        reason=check_reason(reason),
        stated_by=_who(by),
        per_second=rate,
        most=EVERYTHING if most is None else most,
        way=None if way is None else read_way(way),
    )
    outside = Outside.of(os.environ)
    with ToldToStop() as told:
        tally = told.until(lambda: redrive(outside, order, stop=told.stop, tell=_out.print))
    _out.print(str(tally))
    if tally.failed:
        raise typer.Exit(1)


def _troubles(seen: "Letters") -> list[str]:
    told = [seen.trouble] if seen.trouble else []
    if seen.foreign:
        told.append(
            f"{seen.queue}: another queue has given up {seen.foreign} of the {seen.looked_at} that"
            " were looked at; a redrive leaves them alone"
        )
    return told


def _ages(seen: "Letters") -> tuple[str, str]:
    now = datetime.now(UTC)
    age, left = seen.age(now), seen.left(now)
    if age is None or left is None:
        return ("not known", "not known") if seen.total else ("-", "-")
    sample = "" if seen.looked_at >= seen.waiting else f" (of {seen.looked_at})"
    return f"{_days(age)}{sample}", _days(max(left, timedelta()))


def _days(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} d"  # noqa: PLR2004 - two days


def _who(by: str | None) -> str:
    from pipeline.operate.statement import check_text  # noqa: PLC0415 - late, as above

    try:
        return check_text(getpass.getuser() if by is None else by)
    except (KeyError, OSError):  # a container's user may have no name
        raise SettingsError("this user has no name", remedy="Say who asks: --by NAME") from None
