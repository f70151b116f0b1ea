"""The service's own settings, and the service that they and the environment lead to."""

import asyncio
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pipeline.contract import Feed
from pipeline.errors import (
    CredentialsExpired,
    PipelineError,
    SettingsError,
    WarehouseUnavailable,
)
from pipeline.produce.rest.idempotency import MemoryStore, Store
from pipeline.produce.rest.idempotency_table import TableStore
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.senders import load_senders
from pipeline.produce.rest.service import Service
from pipeline.resources.outside import SendOnly
from pipeline.resources.sqs import SqsQueue

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

API_KEYS: Final = "PIPELINE_API_KEYS"
IDEMPOTENCY: Final = "PIPELINE_SERVE_IDEMPOTENCY"


def build_service(environment: Mapping[str, str], feeds: Sequence[Feed], limits: Limits) -> Service:
    """The service that an environment leads to; asks nobody but for its keys and its table.

    Raises:
        SettingsError: A setting is wrong or missing.
        TableMismatch: The table of the Idempotency-Keys is missing, or not for this log-in.
    """
    outside = SendOnly.of(environment)
    keys = environment.get(API_KEYS) or None
    return Service.over(
        feeds,
        sending=_Opening(outside, lambda: outside.client(limits.calls)),
        looking=_Opening(outside, outside.look_client),
        senders=load_senders(keys, outside.endpoint.region, {feed.name for feed in feeds}),
        store=_store(environment, outside),
        limits=limits,
    )


def check_host(host: str, service: Service) -> None:
    """Lets a service without API keys listen on loopback only.

    Raises:
        SettingsError: Others than this machine could reach it.
    """
    if service.senders is None and not _is_loopback(host):
        raise SettingsError(
            "without API keys the service listens on loopback only",
            remedy=f"Set {API_KEYS} (see docs/rest.md), or leave out --host",
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _Opening:
    """Finds queues with one client, and with a new one once its credentials have expired.

    boto3 reads those of a file that names no expiry only once, and a service lives for months.

    Args:
        outside: Where the queues are.
        make: Makes a client.
    """

    def __init__(self, outside: SendOnly, make: "Callable[[], SQSClient]") -> None:
        self._embedded = outside.endpoint.embedded
        self._make = make
        self._client = make()

    def __call__(self, feed: Feed) -> SqsQueue:
        try:
            return SqsQueue(self._client, feed, embedded=self._embedded)
        except CredentialsExpired:
            self._client = self._make()
            return SqsQueue(self._client, feed, embedded=self._embedded)


def _store(environment: Mapping[str, str], outside: SendOnly) -> Store:
    match environment.get(IDEMPOTENCY) or "memory":
        case "memory":
            return MemoryStore()
        case "postgres" if outside.postgres_url is not None:
            return _table(outside.postgres_url)
        case "postgres":
            raise SettingsError(
                f"{IDEMPOTENCY}=postgres, but PIPELINE_POSTGRES_URL is not given",
                remedy="Set it to the warehouse's URL, with a log-in that is a member of producer",
            )
    raise SettingsError(f"{IDEMPOTENCY} is none of its words", remedy="Write memory or postgres")


def _table(url: str) -> TableStore:
    store = TableStore(url)
    try:
        asyncio.run(store.check())
    except WarehouseUnavailable:
        pass  # it comes back by itself
    except PipelineError:
        store.close()
        raise
    return store
