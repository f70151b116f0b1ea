"""The commands of those who keep keys and persons: unmask, forget, rotate, keys, migrate."""

import getpass
import io
import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from rich.console import Console

from pipeline import feeds
from pipeline.terminal import printable, who, written

if TYPE_CHECKING:
    from pipeline.operate.keys import KeyringReport
    from pipeline.operate.unmask import Opened

app = typer.Typer()
keys = typer.Typer(no_args_is_help=True, help="The keyring: make it, add a version, look at it.")
app.add_typer(keys, name="keys")
_out = Console(soft_wrap=True, highlight=False, markup=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

FeedName = Annotated[str, typer.Argument(metavar="FEED", help="A feed, such as user_logins.")]
ColumnName = Annotated[str, typer.Argument(metavar="COLUMN", help="A column of its table.")]
Reason = Annotated[
    str, typer.Option(help="Why, in words that an auditor will understand. It is kept for years.")
]
By = Annotated[str | None, typer.Option(help="Who asks; else the user of this machine.")]


@app.command()
def unmask(  # noqa: PLR0917 - typer names them all
    feed: Annotated[str | None, typer.Argument(metavar="FEED", help="A feed.")] = None,
    column: Annotated[str | None, typer.Argument(metavar="COLUMN", help="Its column.")] = None,
    pseudonyms: Annotated[
        list[str] | None,
        typer.Argument(metavar="PSEUDONYM...", help="As they stand in the table."),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is kept for years.")] = None,
    by: By = None,
    request: Annotated[
        UUID | None, typer.Option(help="Open what a run of the job unmask_FEED has prepared.")
    ] = None,
) -> None:
    """Show the values behind pseudonyms, once the record of it is committed.

    Without pseudonyms, or with -, a list is read from standard input, one a line. Each line of
    the answer is a pseudonym, a tab and its value; control characters are escaped.

    Example: pipeline unmask user_logins masked_ip v1.kXo1... --reason "Ticket 4711: fraud"
    """
    from pipeline.operate import columns  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.operate import unmask as opening  # noqa: PLC0415
    from pipeline.operate.statement import check_reason  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415
    from pipeline.warehouse.audit import Request  # noqa: PLC0415

    if request is not None:
        if feed or reason:
            raise typer.BadParameter("--request says already what and why")
        _show(opening.unmask_asked(Outside.of(os.environ), request, who(by)))
        return
    if not feed or not column or reason is None:
        raise typer.BadParameter("give FEED, COLUMN and --reason, or --request")
    chosen = feeds.find(feed)
    field = columns.find_column(chosen, column, columns.OPENABLE)
    given = _lines() if pseudonyms in (None, [], ["-"]) else pseudonyms
    tokens = columns.read_pseudonyms(given or (), field)
    asked = Request(chosen.name, field.path, tokens, check_reason(reason), who(by))
    _show(opening.unmask(Outside.of(os.environ), chosen, [field], asked))


@app.command()
def forget(
    feed: FeedName,
    column: ColumnName,
    reason: Reason,
    pseudonym: Annotated[
        list[str] | None,
        typer.Option(help="Forget whom this stands for, in place of a value. Repeatable."),
    ] = None,
    by: By = None,
    *,
    delete_rows: Annotated[
        bool, typer.Option("--delete-rows", help="Delete the rows that carry a pseudonym of it.")
    ] = False,
) -> None:
    """Forget a person, and tell what could not be forgotten.

    The person's value is asked for without an echo, or read from standard input: it is never an
    argument, which other users of the machine and the shell's history would see.

    Example: pipeline forget user_logins masked_device_id --reason "Request 12" --delete-rows
    """
    from pipeline.operate import columns  # noqa: PLC0415 - late, as above
    from pipeline.operate import forget as forgetting  # noqa: PLC0415
    from pipeline.operate.custody import load_keyring  # noqa: PLC0415
    from pipeline.operate.statement import check_reason  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    chosen = feeds.find(feed)
    field = columns.find_column(chosen, column, columns.PSEUDONYMS)
    stated = check_reason(reason), who(by)
    given = columns.read_pseudonyms(pseudonym, field) if pseudonym else None
    value = None if given else _value()
    outside = Outside.of(os.environ)
    keyring = load_keyring(outside, outside.custodian_url(), chosen)
    if given is None:
        persons = forgetting.by_value(chosen, field, value or "", keyring)
    else:
        persons = forgetting.by_pseudonyms(chosen, field, given, keyring)
    act = forgetting.delete_rows if delete_rows else forgetting.forget
    erasure = act(outside, persons, *stated)
    with written():
        for line in erasure.lines():
            _out.print(line)
    erasure.check()


@app.command()
def rotate(
    feed: FeedName,
    reason: Reason = "a new key version",
    by: By = None,
    pages: Annotated[
        int, typer.Option(min=1, help="Pages of the table (8 kB) in one transaction.")
    ] = 1_000,
) -> None:
    """Give a table's pseudonyms the current key version, in place, while loads go on.

    It may be stopped at any moment, and goes on where it was when it is started again.

    Example: pipeline keys new-version && pipeline rotate user_logins
    """
    from pipeline.operate import rotate as rotating  # noqa: PLC0415 - late, as above
    from pipeline.operate.statement import check_reason  # noqa: PLC0415
    from pipeline.resources.outside import Outside  # noqa: PLC0415

    order = rotating.Order(feeds.find(feed), check_reason(reason), who(by), pages)
    with _out.status("rotating") as status:
        rotation = rotating.rotate(Outside.of(os.environ), order, tell=status.update)
    with written():
        for line in rotation.lines():
            _out.print(line)
    rotation.check()


@app.command()
def migrate() -> None:
    """Make or upgrade all tables and grant the rights, with the log-in that owns them.

    The log-in is that of PIPELINE_OWNER_URL, else that of PIPELINE_POSTGRES_URL.
    """
    from pipeline.resources.outside import Outside  # noqa: PLC0415 - late, as above
    from pipeline.warehouse import migrate as migrating  # noqa: PLC0415

    done = migrating.migrate(Outside.of(os.environ).owner_url(), feeds.discover())
    before = done.before or "none"
    _out.print(f"our own tables: version {done.now} (before: {before})")
    for each in done.left_out:
        _out.print(f"left out: {each}")


@keys.command("make")
def make_keys() -> None:
    """Make the keyring, unless there is one: then that one stays."""
    from pipeline.operate import keys as keeping  # noqa: PLC0415 - late, as above

    _tell(keeping.make(os.environ))


@keys.command("new-version")
def new_version() -> None:
    """Give the keyring a new version: what is masked from the next run on carries it."""
    from pipeline.operate import keys as keeping  # noqa: PLC0415 - late, as above

    _tell(keeping.add_version(os.environ))


@keys.command("show")
def show_keys() -> None:
    """Show where the keyring is, its versions and its fingerprint; never a key."""
    from pipeline.operate import keys as keeping  # noqa: PLC0415 - late, as above

    _tell(keeping.show(os.environ))


def _tell(keyring: "KeyringReport") -> None:
    _out.print(f"keyring: {keyring.place}")
    _out.print(f"versions: {', '.join(map(str, keyring.versions))}; current: {keyring.current}")
    _out.print(f"fingerprint: {keyring.fingerprint}")


def _show(found: "Iterable[Opened]") -> None:
    """Values to standard output and nowhere else; what did not open is told beside."""
    failed = False
    with written():
        for each in found:
            if each.value is None:
                failed = True
                _err.print(f"{each.token}: {each.problem}")
            else:
                sys.stdout.write(f"{each.token}\t{printable(each.value)}\n")
    if failed:
        raise typer.Exit(1)


def _lines() -> Iterator[str]:
    """Standard input; bytes that are no text become characters that no pseudonym has."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    yield from sys.stdin


def _value() -> str:
    """A person's value, from a prompt that does not show it, or all of standard input."""
    if sys.stdin.isatty():
        return getpass.getpass("Value (not shown): ")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape", newline="")  # looked at where it is read
    return sys.stdin.read()
