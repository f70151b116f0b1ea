"""A canary: an event that is sent as anybody's would be, and watched until it is a row.

It is told apart by its type, found again by its time, and removed when it has been seen.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from pipeline.contract import Feed
from pipeline.errors import SettingsError
from pipeline.messages import Event
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.warehouse.tables import are_made, table_name

TYPE: Final = "pipeline.canary"
"""The type by which everybody can tell a canary from other messages."""

URL: Final = "PIPELINE_CANARY_URL"
KEY: Final = "PIPELINE_CANARY_KEY"
SECONDS: Final = "PIPELINE_CANARY_SECONDS"

_TYPE_PATH: Final = "type"
_TIME_PATH: Final = "occurred_at"
_SECONDS: Final = 120.0
_LOOK: Final = 0.5  # seconds between two looks at the table
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}


class Fate(StrEnum):
    """How far a canary came."""

    ARRIVED = "arrived"
    NOT_ACCEPTED = "not accepted by the API"
    ON_ITS_WAY = "accepted, and not a row yet"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where a canary is sent, and for how long it is waited for.

    Attributes:
        url: The public address of the REST service.
        key: The API key; None where the service is on this machine and asks for none.
        seconds: How long it may take at most.
    """

    url: str
    key: str | None = field(repr=False)
    seconds: float


@dataclass(frozen=True, slots=True)
class Flight:
    """What became of a canary.

    Attributes:
        fate: How far it came.
        seconds: How long it was watched; where it arrived, how long it took.
        detail: The status of the answer, or the reason of the quarantine.
        removed: How many rows of canaries were removed, older ones included.
    """

    fate: Fate
    seconds: float
    detail: str = ""
    removed: int = 0


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment.

    Raises:
        SettingsError: The address, or the key that is needed there, is missing.
    """
    url, key = environment.get(URL), environment.get(KEY) or None
    if not url:
        raise SettingsError(
            f"{URL} is not given", remedy="Set it to the public address of the REST service"
        )
    if key is None and urlsplit(url).hostname not in _LOOPBACK:
        raise SettingsError(
            f"{KEY} is not given", remedy="Set it to an API key that is bound to the feed"
        )
    try:
        seconds = float(environment.get(SECONDS) or _SECONDS)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:  # noqa: PLR2004 - a day
        raise SettingsError(
            f"{SECONDS} is not a number of seconds", remedy="Write 120, for example"
        )
    return Settings(url, key, seconds)


def fly(settings: Settings, feed: Feed, outside: Outside) -> Flight:
    """Sends a canary, watches it until it is a row or its time is over, and removes its row.

    Raises:
        SettingsError: The address is no URL.
        WarehouseError: Postgres is down, or a log-in may not read or delete.
    """
    # Late: its httpx takes a tenth of a second, which only canaries are to pay.
    from pipeline.produce.rest_client import RestClient, new_event_id  # noqa: PLC0415

    started, moment = time.monotonic(), datetime.now(UTC)
    body = {_TYPE_PATH: TYPE, _TIME_PATH: moment.isoformat()}
    with RestClient(settings.url, settings.key) as client:
        answer = client.post(feed.name, Event(new_event_id("canary"), json.dumps(body)))
    if not answer.accepted or (accepted := answer.message_id) is None:
        return Flight(Fate.NOT_ACCEPTED, time.monotonic() - started, str(answer))
    with _connected(outside.postgres_url, feed) as connection:
        fate, detail = _watch(
            lambda: _look(connection, feed, moment, accepted), until=started + settings.seconds
        )
    seconds = time.monotonic() - started
    removed = _remove(outside.owner_url(), feed, moment, settings.seconds)
    return Flight(fate, seconds, detail, removed)


def _watch(look: Callable[[], tuple[Fate, str]], *, until: float) -> tuple[Fate, str]:
    """Looks again and again until something is seen, or a moment of the monotonic clock."""
    pause = _LOOK
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        began = time.monotonic()
        fate, detail = look()
        if fate is not Fate.ON_ITS_WAY:
            return fate, detail
        # A large table without an index for it is read from end to end: a tenth of the time.
        pause = max(_LOOK, 9 * (time.monotonic() - began))
    return Fate.ON_ITS_WAY, ""


@contextmanager
def _connected(url: str, feed: Feed) -> Iterator[psycopg.Connection]:
    with postgres.translated(feed=feed.name), postgres.connect(url) as connection:
        connection.autocommit = True
        yield connection


def _look(
    connection: psycopg.Connection, feed: Feed, moment: datetime, message_id: str
) -> tuple[Fate, str]:
    if not are_made(connection, feed):
        return Fate.ON_ITS_WAY, ""
    row = "SELECT FROM {table} WHERE {kind} = {canary} AND {moment} = %s"
    if connection.execute(_about(feed, row), (moment,)).rowcount:
        return Fate.ARRIVED, ""
    rejected = connection.execute(
        "SELECT reason FROM pipeline.quarantine WHERE feed = %s AND message_id = %s",
        (feed.name, message_id),
    ).fetchone()
    return (Fate.QUARANTINED, str(rejected[0])) if rejected else (Fate.ON_ITS_WAY, "")


def _remove(url: str, feed: Feed, moment: datetime, seconds: float) -> int:
    """Removes the canary's row, and those of earlier ones that nobody waits for any longer."""
    with _connected(url, feed) as connection:
        if not are_made(connection, feed):
            return 0
        rows = "DELETE FROM {table} WHERE {kind} = {canary} AND ({moment} = %s OR {moment} < %s)"
        waited_for = moment - timedelta(seconds=seconds)
        return connection.execute(_about(feed, rows), (moment, waited_for)).rowcount


def _about(feed: Feed, statement: LiteralString) -> sql.Composed:
    """A statement with the names of the feed's table and of the canary's two columns."""
    columns = {each.path: sql.Identifier(each.name) for each in feed.columns}
    return sql.SQL(statement).format(
        table=table_name(feed),
        kind=columns[_TYPE_PATH],
        canary=sql.Literal(TYPE),  # an index of canaries alone serves a literal for certain
        moment=columns[_TIME_PATH],
    )
