"""The outside world of this process: which queue, warehouse and keyring the settings lead to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from pipeline.contract import SIDE_BY_SIDE, Feed
from pipeline.errors import QueueError, SettingsError
from pipeline.local.services import ensure_running, local_folder
from pipeline.masking.keyring import KeyStore
from pipeline.resources.dead_letter_queue import DeadLetterQueue, find_dead_letters
from pipeline.resources.kept import Kept
from pipeline.resources.key_stores import key_store
from pipeline.resources.queue_facts import check_environment
from pipeline.resources.settings import CUSTODIAN_URL, read_producer_settings, read_settings
from pipeline.resources.sqs import Depth, SqsQueue
from pipeline.resources.sqs_client import Endpoint, make_client, make_clients
from pipeline.tracing.setting import is_wanted

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

    from pipeline.transport.client import LeanClient

LOOK_SECONDS = 3.0
"""How long a look waits for an answer: a tick has 60 s in Dagster, and 15 s behind some proxies."""

# As long as a tick may not know that a redrive policy leads to another queue by now.
_KEPT_SECONDS = 600.0
_RUN_SECONDS = 30.0
_PROBE_SECONDS = 1.0
_SEND_SECONDS = 5.0  # somebody waits for the answer
# The embedded server has one log-in, which may take any role.
_AS_CUSTODIAN = "options=-c%20role%3Dcustodian"


@dataclass(frozen=True, slots=True)
class Outside:
    """Where things are.

    Attributes:
        endpoint: SQS.
        postgres_url: The warehouse. It holds a password, and shows in no representation.
        keyring: Where the keys are kept.
        custodian: The warehouse, with a custodian's log-in; None where there is none.
        owner: The warehouse, with the owner's log-in; None where `postgres_url` is the owner's.
        environment: What the queues' tag `environment` is to say; None where nothing is said.
        traced: Whether messages are asked for the contexts of their traces.
    """

    endpoint: Endpoint
    postgres_url: str = field(repr=False)
    keyring: KeyStore
    custodian: str | None = field(default=None, repr=False)
    owner: str | None = field(default=None, repr=False)
    environment: str | None = None
    traced: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """What an environment leads to; starts the embedded services where it names no other.

        Raises:
            SettingsError: The environment names one half of a configuration only.
            KeyringError: It names no place for a keyring.
            LocalServiceError: The embedded services do not start.
        """
        settings = read_settings(environment)
        keyring = key_store(settings)
        traced = is_wanted(environment)
        if settings.postgres_url is not None:
            endpoint = Endpoint(settings.sqs_url, region=settings.region, lean=settings.lean)
            return cls(
                endpoint,
                settings.postgres_url,
                keyring,
                custodian=settings.custodian_url,
                owner=settings.owner_url,
                environment=settings.environment,
                traced=traced,
            )
        services = ensure_running(local_folder())
        endpoint = Endpoint(services.sqs_endpoint, embedded=True, lean=settings.lean)
        custodian = f"{services.postgres_url}?{_AS_CUSTODIAN}"
        return cls(endpoint, services.postgres_url, keyring, custodian=custodian, traced=traced)

    def custodian_url(self) -> str:
        """The warehouse, with the log-in of somebody who unmasks and forgets.

        Raises:
            SettingsError: There is none.
        """
        if self.custodian is None:
            raise SettingsError(
                f"{CUSTODIAN_URL} is not given",
                remedy="Set it to the warehouse's URL with a log-in that is a member of custodian",
            )
        return self.custodian

    def owner_url(self) -> str:
        """The warehouse, with the log-in that owns the tables."""
        return self.owner or self.postgres_url

    def depth(self, feed: Feed) -> Depth:
        """How full the feed's queue is: one call of SQS, once the queue is known.

        Raises:
            QueueError: SQS refused, or did not answer within seconds.
        """
        key = (self.endpoint, feed)
        try:
            return _QUEUES.get(key).depth()
        except QueueError:
            # The queue may be made anew, and the client's credentials renewed in their file.
            _QUEUES.drop(key)
            raise

    def dead_letter_depth(self, feed: Feed) -> Depth | None:
        """How full the feed's dead-letter queue is; None where there is none.

        One call of SQS, once the queue is known.

        Raises:
            QueueError: SQS refused, or did not answer within seconds.
        """
        key = (self.endpoint, feed)
        try:
            found = _DEAD_LETTERS.get(key)
            if found is not None:
                return found.letters.depth()
        except QueueError:
            _QUEUES.drop(key)
            _DEAD_LETTERS.drop(key)  # as above
            raise
        _DEAD_LETTERS.drop(key)  # the queue may be given one
        return None

    def dead_letters(self, feed: Feed) -> DeadLetterQueue | None:
        """The feed's dead-letter queue, for whoever works on it; None where there is none.

        Raises:
            WrongEnvironment: The feed's queue is tagged as another environment's.
            QueueError: SQS refused or did not answer.
        """
        client = self.look_client()
        source = SqsQueue(client, feed, embedded=self.endpoint.embedded)
        self._check_environment(client, source, feed)
        return find_dead_letters(client, feed, source, traced=self.traced)

    def look_client(self) -> "SQSClient":
        """A client for one thread, for whoever looks at queues and their settings."""
        return make_client(self.endpoint, read_seconds=_RUN_SECONDS)

    def queue_for_a_run(self, feed: Feed) -> SqsQueue:
        """The feed's queue, for as many threads as the feed has receivers, and a heartbeat.

        Raises:
            WrongEnvironment: It is tagged as another environment's.
            QueueError: SQS refused or did not answer.
        """
        client, hot = self._clients_for_a_run(feed)
        embedded = self.endpoint.embedded
        queue = SqsQueue(client, feed, hot=hot, embedded=embedded, traced=self.traced)
        self._check_environment(client, queue, feed)
        return queue

    def _check_environment(self, client: "SQSClient", queue: SqsQueue, feed: Feed) -> None:
        """Looks at the queue's tag, once for each run, where the settings say what it is to be."""
        if self.environment is not None:
            check_environment(client, feed, queue.url, self.environment)

    def _clients_for_a_run(self, feed: Feed) -> "tuple[SQSClient, SQSClient | LeanClient]":
        # One batch is received while another is acknowledged, and each has a heartbeat.
        connections = SIDE_BY_SIDE * (feed.limits.receivers + 1)
        return make_clients(self.endpoint, read_seconds=_RUN_SECONDS, connections=connections)


@dataclass(frozen=True, slots=True)
class SendOnly:
    """The outside world of a process that only sends: the queues, and neither keyring nor rows.

    Attributes:
        endpoint: SQS.
        postgres_url: Postgres, for what a producer remembers there; None where none is named.
    """

    endpoint: Endpoint
    postgres_url: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Self:
        """What an environment leads to; starts the embedded services where it names nothing.

        Raises:
            SettingsError: The environment names one half of a configuration only.
            LocalServiceError: The embedded services do not start.
        """
        settings = read_producer_settings(environment)
        if settings is None:
            services = ensure_running(local_folder())
            return cls(Endpoint(services.sqs_endpoint, embedded=True), services.postgres_url)
        return cls(Endpoint(settings.sqs_url, region=settings.region), settings.postgres_url)

    def client(self, calls: int) -> "SQSClient":
        """A client for so many calls at the same time.

        Raises:
            SettingsError: Region, profile or credentials are missing.
        """
        return make_client(self.endpoint, read_seconds=_SEND_SECONDS, connections=calls)

    def look_client(self) -> "SQSClient":
        """A client for whoever only wants to know whether SQS answers, and wants to know soon.

        Raises:
            SettingsError: As `client`.
        """
        return make_client(self.endpoint, read_seconds=_PROBE_SECONDS, attempts=1)


_Look = tuple[Endpoint, Feed]
"""Where somebody looks, and at whose queue."""


def _find_queue(look: _Look) -> SqsQueue:
    endpoint, feed = look
    client = make_client(endpoint, read_seconds=LOOK_SECONDS)
    return SqsQueue(client, feed, embedded=endpoint.embedded)


def _find_letters(look: _Look) -> DeadLetterQueue | None:
    endpoint, feed = look
    client = make_client(endpoint, read_seconds=LOOK_SECONDS)
    return find_dead_letters(client, feed, _QUEUES.get(look))


_QUEUES: Final = Kept(_find_queue, seconds=_KEPT_SECONDS)
_DEAD_LETTERS: Final = Kept(_find_letters, seconds=_KEPT_SECONDS)
