"""The settings of warm workers: where runs wait for one, and where is noted what became of them.

docs/decisions/0015-warm-workers.md says why they are what they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal
from urllib.parse import urlsplit

from pipeline.errors import SettingsError

BROKER: Final = "PIPELINE_CELERY_BROKER"
RESULTS: Final = "PIPELINE_CELERY_RESULTS"
QUEUE_URL: Final = "PIPELINE_CELERY_QUEUE_URL"
QUEUE: Final = "dagster"
"""What dagster-celery calls the queue on which runs wait."""

VISIBILITY_SECONDS: Final = 43_200  # 12 hours, the most that SQS takes: longer than any batch
_CONNECT_SECONDS: Final = 5
_SCHEMES: Final[Mapping[str, Literal["redis", "amqp", "sqs"]]] = {
    "redis": "redis",
    "rediss": "redis",
    "amqp": "amqp",
    "amqps": "amqp",
    "pyamqp": "amqp",
    "sqs": "sqs",
}
_MOST_MEMORY: Final = 512 * 2**20  # bytes; a process begins with half of it
# The longest run, a rotation, may take seven days.
_RESULTS_KEPT: Final = timedelta(days=8)
_DATABASE: Final = "db+postgresql+psycopg2"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where runs wait for a worker.

    Attributes:
        kind: Which broker it is.
        url: As Celery reads it.
        results: Where workers note what became of a run, as Celery reads it.
        queue_url: The queue, where the broker is SQS.
        region: Its region; None to leave it to boto3.
    """

    kind: Literal["redis", "amqp", "sqs"]
    url: str = field(repr=False)
    results: str = field(repr=False)
    queue_url: str | None = None
    region: str | None = None

    @property
    def config(self) -> dict[str, object]:
        """Celery's settings, the same for those who ask for runs and for those who execute them."""
        return {
            "broker_transport_options": self._transport,
            "broker_connection_timeout": _CONNECT_SECONDS,
            "broker_connection_retry_on_startup": True,
            "broker_connection_max_retries": None,  # an outage of the broker ends no worker
            # A run leaves the queue when it is over: until then nobody else is given it, and a
            # worker that is busy takes no second one, for which another may be free.
            "task_acks_late": True,
            "worker_prefetch_multiplier": 1,
            # A run that has lost its process is not to be executed again: its messages come again.
            "task_reject_on_worker_lost": False,
            # In KiB. A child is replaced after the run with which its memory has passed this.
            "worker_max_memory_per_child": _MOST_MEMORY // 1024,
            "worker_pool_start_method": "fork",
            # Dagster's database says what is cancelled: nobody can order workers about by the
            # broker, and SQS knows no such orders.
            "worker_enable_remote_control": False,
            "worker_send_task_events": False,
            "worker_hijack_root_logger": False,
            "worker_redirect_stdouts": False,
            "result_expires": _RESULTS_KEPT,
        }

    @property
    def _transport(self) -> dict[str, object]:
        patience: dict[str, object] = {"max_retries": 3, "interval_start": 0, "interval_max": 0.5}
        match self.kind:
            case "redis":
                return patience | {
                    "visibility_timeout": VISIBILITY_SECONDS,
                    "socket_connect_timeout": _CONNECT_SECONDS,
                }
            case "sqs":
                return patience | {
                    "predefined_queues": {QUEUE: {"url": self.queue_url}},
                    "wait_time_seconds": 20,  # as long as SQS lets a poll wait
                    "polling_interval": 0,
                    "client-config": {"connect_timeout": _CONNECT_SECONDS},
                    **({} if self.region is None else {"region": self.region}),
                }
        return patience


def read_broker(environment: Mapping[str, str]) -> Broker:
    """What an environment says of the broker.

    Raises:
        SettingsError: It says nothing, or not enough.
    """
    url = environment.get(BROKER) or ""
    kind = _SCHEMES.get(_scheme(url))
    if kind is None:
        raise SettingsError(
            f"{BROKER} names no broker" if url else f"{BROKER} is not given",
            remedy="Set it to redis://host:port/0, amqp://user:password@host// or sqs://",
        )
    queue_url = environment.get(QUEUE_URL) or None
    if (kind == "sqs") != (queue_url is not None):
        raise SettingsError(
            f"{QUEUE_URL} does not go with {BROKER}",
            remedy="Set it to the URL of the queue on which runs wait where the broker is sqs://, "
            "and only there",
        )
    region = environment.get("AWS_REGION") or None
    results = environment.get(RESULTS) or (url if kind == "redis" else "")
    return Broker(kind, url, _results(results), queue_url, region)


def _results(url: str) -> str:
    """The URL as Celery reads it: a database is read by the driver that Dagster uses."""
    scheme = _scheme(url)
    if scheme in {"postgresql", "postgres"}:
        return _DATABASE + url[len(scheme) :]
    if scheme in {"redis", "rediss", _DATABASE}:
        return url
    raise SettingsError(
        f"{RESULTS} names no database" if url else f"{RESULTS} is not given",
        remedy="Set it to the URL of Dagster's database, or to redis://host:port/1",
    )


def _scheme(url: str) -> str:
    try:
        return urlsplit(url).scheme
    except ValueError:
        return ""
