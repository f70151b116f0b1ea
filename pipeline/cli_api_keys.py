"""The commands of whoever lets others send: make API keys, drop them, list the senders."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline import feeds
from pipeline.errors import KeyringError, SettingsError
from pipeline.masking.key_file import PrivateFile
from pipeline.produce.rest import api_keys

app = typer.Typer()
keys = typer.Typer(
    no_args_is_help=True, help="Who may send over HTTP: make keys, drop them, list the senders."
)
app.add_typer(keys, name="api-keys")
_out = Console(soft_wrap=True, highlight=False, markup=False)
_err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

SenderName = Annotated[
    str, typer.Argument(metavar="SENDER", help="Its name: small letters, digits, _ and -.")
]
File = Annotated[
    Path | None,
    typer.Option(help="The file of the keys; else the one that PIPELINE_API_KEYS names."),
]


@keys.command()
def new(
    sender: SenderName,
    feed: Annotated[
        list[str] | None,
        typer.Option(
            help="A feed it may write to from now on, or * for all; may be given several times."
        ),
    ] = None,
    per_second: Annotated[
        float | None, typer.Option(help="Records a second it may send from now on; else 100.")
    ] = None,
    file: File = None,
) -> None:
    """Add a key for a sender, and print it: it is stored nowhere.

    A sender that is there already keeps its other key, and its feeds if none are given. So a key
    is changed: new, hand it over, drop --oldest.

    Example: pipeline api-keys new acme --feed user_logins
    """
    path, seen, entries = _read(file)
    there = [each.name for each in feeds.discover()]
    changed, key = api_keys.add_key(
        entries, sender, feeds=feed or (), per_second=per_second, known=there
    )
    api_keys.check_feeds({sender: changed[sender]}, there, str(path))
    _write(path, seen, changed)
    typer.echo(key)
    _tell(sender, changed[sender])


@keys.command()
def drop(
    sender: SenderName,
    *,
    oldest: Annotated[bool, typer.Option("--oldest", help="The older of two keys.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every key it has.")] = False,
    file: File = None,
) -> None:
    """Drop a sender's keys: the service refuses them within seconds.

    The sender stays on the list; a new key gives it back what it had.
    """
    if oldest == every:
        raise typer.BadParameter("give --oldest or --all")
    path, seen, entries = _read_there(file)
    count = 1 if oldest else api_keys.LIVE_KEYS
    changed = api_keys.drop_keys(entries, sender, count, place=str(path))
    _write(path, seen, changed)
    _tell(sender, changed[sender])


@keys.command("list")
def list_(file: File = None) -> None:
    """List the senders: the feeds, the number of live keys, the records a second."""
    for name, entry in sorted(_read_there(file)[2].items()):
        _out.print(_line(name, entry))


def _read(file: Path | None) -> tuple[Path, bytes | None, dict[str, api_keys.Entry]]:
    """The file, what was seen in it, and its senders; none where there is no file yet."""
    path = file or _configured()
    with _as_setting():
        seen = PrivateFile(path).read()
    return path, seen, {} if seen is None else api_keys.read_list(seen, str(path))


def _read_there(file: Path | None) -> tuple[Path, bytes, dict[str, api_keys.Entry]]:
    """As `_read`, of a file that has to be there."""
    path, seen, entries = _read(file)
    if seen is None:
        raise SettingsError(
            f"there is no file of API keys at {path}",
            remedy="Correct --file, or the setting PIPELINE_API_KEYS; pipeline api-keys new"
            " makes it with its first key",
        )
    return path, seen, entries


def _configured() -> Path:
    from pipeline.produce.rest.key_sources import (  # noqa: PLC0415 - late: boto3
        API_KEYS,
        FileSource,
        key_source,
    )

    setting = os.environ.get(API_KEYS)
    if not setting:
        raise SettingsError(
            "no file of API keys is named", remedy=f"Give --file, or set {API_KEYS} to its path"
        )
    source = key_source(setting, None)
    if not isinstance(source, FileSource):
        raise SettingsError(
            f"{API_KEYS} names no file, and only a file is written here",
            remedy="Work on a file with --file, and put its content where the setting says",
        )
    return source.path


def _write(path: Path, seen: bytes | None, entries: dict[str, api_keys.Entry]) -> None:
    content, file = api_keys.write_list(entries), PrivateFile(path)
    with _as_setting():
        if seen is not None:
            file.replace(content, seen=seen)
            return
        file.make(content)
        if file.read() != content:
            raise file.unusable("was just made by another process", "Try again")


@contextmanager
def _as_setting() -> Iterator[None]:
    """Says of the file what `PrivateFile` says of a keyring's."""
    try:
        yield
    except KeyringError as error:
        raise SettingsError(
            error.what, remedy="Correct its mode (0600), its folder's or owner; or try again"
        ) from None


def _tell(name: str, entry: api_keys.Entry) -> None:
    _err.print(_line(name, entry))


def _line(name: str, entry: api_keys.Entry) -> str:
    keys_left = len(entry.keys)
    counted = f"{keys_left} live key{'' if keys_left == 1 else 's'}"
    return f"{name}: {', '.join(entry.feeds)}; {counted}; {entry.per_second:g} records a second"
