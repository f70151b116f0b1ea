"""What a fetch reaches: the API's address, the queue, the warehouse, the keys."""

import ipaddress
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipeline.contract import Feed
from pipeline.errors import SettingsError
from pipeline.resources import postgres
from pipeline.resources.outside import Outside
from pipeline.source import Source
from pipeline.warehouse import tables

if TYPE_CHECKING:
    import httpx

PRIVATE = "PIPELINE_FETCH_PRIVATE"
"""The environment variable that names the private networks that an API may be in."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address_variable(source: Source) -> str:
    """The environment variable that puts another address in the place of the source's own."""
    return f"PIPELINE_SOURCE_{source.name.upper()}_URL"


@dataclass(frozen=True, slots=True)
class Reach:
    """Where things are, for one source. The deployment decides it, never a run's config.

    Attributes:
        outside: Queue, warehouse and keyring.
        base: The API's address.
        private: Networks that the API may be in although they are not public.
    """

    outside: Outside
    base: "httpx.URL"
    private: tuple[Network, ...] = ()

    @classmethod
    def of(cls, outside: Outside, source: Source, environment: Mapping[str, str]) -> Self:
        """What an environment leads to.

        Raises:
            SettingsError: A setting is no address, or names no network.
        """
        import httpx  # noqa: PLC0415 - a tenth of a second, which only fetches are to pay

        variable = address_variable(source)
        try:
            base = httpx.URL(environment.get(variable) or source.base)
            sound = base.scheme in {"http", "https"} and base.host and base.path.endswith("/")
        except (httpx.InvalidURL, ValueError):  # httpx lets errors of idna and ipaddress out
            sound = False
        if not sound or base.userinfo:
            raise SettingsError(
                f"{variable} is not the address of an API",
                remedy="Write it as https://host/path/, with a / at the end and without a log-in",
            )
        return cls(outside, base, tuple(_networks(environment.get(PRIVATE, ""))))

    def settlement_key(self, feed: Feed) -> bytes:
        """The key of the digests by which the ledger tells versions apart: 32 bytes.

        Raises:
            KeyringError: The keyring cannot be had, or is not the warehouse's.
            WarehouseError: Postgres did not do its work.
        """
        with (
            closing(postgres.connect(self.outside.postgres_url)) as connection,
            postgres.translated(feed=feed.name),
        ):
            keyring = tables.obtain_keyring(connection, self.outside.keyring)
        return keyring.settlement_key(feed.name)


def _networks(setting: str) -> list[Network]:
    try:
        return [ipaddress.ip_network(each.strip()) for each in setting.split(",") if each.strip()]
    except ValueError:
        raise SettingsError(
            f"{PRIVATE} names no networks",
            remedy="Write them as 10.1.0.0/16, fd00::/8; leave it out for public APIs",
        ) from None
