"""Who may send: whose key it is that a request presents."""

import asyncio
import hmac
import logging
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from pipeline.errors import told
from pipeline.produce.rest.api_keys import ALL_FEEDS, check_feeds, digest_of, read_list
from pipeline.produce.rest.key_sources import KeySource, key_source

LOOK_SECONDS: Final = 2.0
"""How often the source is asked whether the keys have changed."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sender:
    """Somebody who may send.

    Attributes:
        name: 1 to 64 of [a-z0-9_-]; part of each of its event ids.
        feeds: The names of the feeds it may write to; None for all.
        per_second: Records a second, on average.
    """

    name: str
    feeds: frozenset[str] | None
    per_second: float

    def may_write(self, feed: str) -> bool:
        """Whether it may write to the feed of that name."""
        return self.feeds is None or feed in self.feeds


LOCAL: Final = Sender("local", feeds=None, per_second=1_000_000.0)
"""Everybody, where no keys are configured and so only this machine is served."""


class Senders:
    """The senders of a list, which may be replaced while the service runs.

    Args:
        source: Where the list is.
        feeds: The names of the feeds that there are.

    Raises:
        SettingsError: The list cannot be read, is open to others, or breaks a rule.
    """

    def __init__(self, source: KeySource, feeds: Collection[str]) -> None:
        self._source = source
        self._feeds = frozenset(feeds)
        self._known = self._read()

    def find(self, presented: str) -> Sender | None:
        """Whose key it is; None if it is nobody's. It never waits.

        How long it takes tells nothing of any key: digests are compared, in constant time, and
        all of them whichever is right.
        """
        digest = digest_of(presented).encode()
        found = None
        for known, sender in self._known:
            if hmac.compare_digest(known, digest):
                found = sender
        return found

    def refresh(self) -> None:
        """Reads the list again if it has changed; one that is wrong is logged, and changes nothing.

        It may wait for the source: not to be called in an event loop.
        """
        try:
            if self._source.changed():
                self._known = self._read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the old keys go on working
            _log.error("the API keys stay as they were: %s", told(error))

    async def keep_fresh(self, every: float = LOOK_SECONDS) -> None:
        """Calls `refresh` every few seconds, in a thread, until it is cancelled."""
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(self.refresh)

    def _read(self) -> tuple[tuple[bytes, Sender], ...]:
        entries = read_list(self._source.read(), self._source.place)
        check_feeds(entries, self._feeds, self._source.place)
        known = []
        for name, entry in entries.items():
            feeds = None if ALL_FEEDS in entry.feeds else frozenset(entry.feeds)
            sender = Sender(name, feeds, entry.per_second)
            known += [(key.encode(), sender) for key in entry.keys]
        return tuple(known)


def load_senders(setting: str | None, region: str | None, feeds: Collection[str]) -> Senders | None:
    """The senders that PIPELINE_API_KEYS leads to; None where it is not set.

    Args:
        setting: A path, `secretsmanager:NAME`, or the JSON text itself.
        region: AWS's, for Secrets Manager; None to leave it to boto3.
        feeds: The names of the feeds that there are.

    Raises:
        SettingsError: The list cannot be read, is open to others, or breaks a rule.
    """
    return Senders(key_source(setting, region), feeds) if setting else None
