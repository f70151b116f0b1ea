"""The clients of SQS: where it is, how long to wait for it, and what its refusals mean."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError
from botocore.session import Session

from pipeline.contract import Feed
from pipeline.errors import (
    CredentialsExpired,
    PipelineError,
    QueueError,
    QueueMissing,
    QueueUnreachable,
    SettingsError,
)
from pipeline.transport.client import LeanClient
from pipeline.transport.wire import Patience

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_CONNECT_SECONDS = 2.0
_ATTEMPTS = 3

_MISSING = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
_DENIED = {"AccessDenied", "AccessDeniedException"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException"}
# Of a key that is unknown, made for another region, or used at another time than AWS's.
_SIGNATURE = {
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where SQS is.

    Attributes:
        url: None for the one that boto3 finds by itself.
        region: None for the one that boto3 finds by itself, which does not read `AWS_REGION`.
        embedded: Whether it is the embedded queue: then queues are made as they are asked for.
        lean: Whether runs receive and acknowledge over the lean transport, not over boto3.
    """

    url: str | None = None
    region: str | None = None
    embedded: bool = False
    lean: bool = True


def make_client(
    endpoint: Endpoint, *, read_seconds: float, connections: int = 10, attempts: int = _ATTEMPTS
) -> "SQSClient":
    """A client with bounded waiting and retries.

    Args:
        endpoint: Where SQS is.
        read_seconds: How long to wait for an answer.
        connections: As many as there are threads that use the client.
        attempts: How often a call is tried in all.

    Raises:
        SettingsError: Region, profile or credentials are missing.
    """
    with translated():
        session = _open_session(endpoint)
        return _make(session, endpoint, read_seconds, connections, attempts)


def make_clients(
    endpoint: Endpoint, *, read_seconds: float, connections: int
) -> "tuple[SQSClient, SQSClient | LeanClient]":
    """A client as `make_client` makes it, and what makes a run's hot calls in its place.

    Args:
        endpoint: Where SQS is; whether the hot calls are made by another than the client.
        read_seconds: How long to wait for an answer.
        connections: As many as there are threads that use them.

    Raises:
        SettingsError: Region, profile or credentials are missing.
    """
    with translated():
        session = _open_session(endpoint)
        client = _make(session, endpoint, read_seconds, connections, _ATTEMPTS)
        if not endpoint.lean:
            return client, client
        patience = Patience(connect_seconds=_CONNECT_SECONDS, read_seconds=read_seconds)
        return client, LeanClient.beside(client, session, patience)


def _open_session(endpoint: Endpoint) -> Session:
    if endpoint.embedded:
        return _embedded_session()
    session = Session()
    if session.get_credentials() is None:
        raise NoCredentialsError
    return session


@functools.cache
def _embedded_session() -> Session:
    """A session for the embedded queue, which checks no credentials: it cannot grow old."""
    session = Session()
    session.set_credentials("embedded", "embedded")
    return session


def _make(
    session: Session, endpoint: Endpoint, read_seconds: float, connections: int, attempts: int
) -> "SQSClient":
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=read_seconds,
        # botocore's "standard" mode retries throttling, 500, 503 and broken connections.
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
        # botocore puts its own together anew for each call: a seventh of what a call costs.
        user_agent="sqs-postgres-pipeline",
    )
    region = "us-east-1" if endpoint.embedded else endpoint.region
    try:
        # What a session of boto3 does, which would leave handlers on this one each time.
        return cast(
            "SQSClient",
            session.create_client(
                "sqs", region_name=region, endpoint_url=endpoint.url, config=config
            ),
        )
    except ValueError:
        raise SettingsError(
            "AWS_ENDPOINT_URL_SQS is not a URL",
            remedy="Write it as http://host:port or https://host",
        ) from None


@contextmanager
def translated(*, feed: Feed | None = None, queue: str | None = None) -> Iterator[None]:
    """Turns botocore's errors into this project's.

    Args:
        feed: For whom SQS is spoken to.
        queue: About which queue, where that is not the feed's own.

    Raises:
        SettingsError: Region, profile or credentials are missing.
        QueueError: SQS refused or did not answer.
    """
    try:
        yield
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise _translate(error, feed, queue) from None


def _translate(error: Exception, feed: Feed | None, other: str | None) -> PipelineError:
    name = feed.name if feed else None
    queue = f"queue {(other or feed.queue)!r}" if feed else "SQS"
    match error:
        case ClientError():
            return _refused(error, queue, name)
        case NoCredentialsError() | PartialCredentialsError() | NoRegionError() | ProfileNotFound():
            return SettingsError(
                f"AWS settings are incomplete ({type(error).__name__})",
                remedy="Set AWS_REGION, and credentials by AWS_PROFILE, "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role",
            )
        case HTTPClientError() | BotoConnectionError():
            return QueueUnreachable(
                f"the endpoint of {queue} does not answer ({type(error).__name__})",
                remedy="Check the network, AWS_REGION and AWS_ENDPOINT_URL_SQS; nothing is lost",
                feed=name,
            )
    return QueueError(
        f"{queue} could not be used ({type(error).__name__})",
        remedy="Check the AWS settings; nothing is lost",
        feed=name,
    )


def _refused(error: ClientError, queue: str, feed: str | None) -> QueueError:
    code = error.response.get("Error", {}).get("Code", "unknown")
    if code in _MISSING:
        return QueueMissing(
            f"{queue} does not exist",
            remedy="Create it, or correct `queue` in the feed's file, AWS_REGION or the endpoint",
            feed=feed,
        )
    if code in _EXPIRED:
        return CredentialsExpired(
            f"{queue} refused {error.operation_name} ({code})",
            remedy="Renew the credentials",
            feed=feed,
        )
    if code in _DENIED:
        remedy = "Check the credentials and the policy of the role"
    elif code in _SIGNATURE:
        remedy = "Check the credentials, AWS_REGION and this machine's clock"
    elif code.startswith(("Kms", "KMS")):
        remedy = "Check the queue's KMS key and the role's right to use it"
    else:
        remedy = f"Look up {code} in the API reference of SQS"
    return QueueError(f"{queue} refused {error.operation_name} ({code})", remedy=remedy, feed=feed)
