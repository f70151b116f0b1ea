"""Everything that a chaos run consists of, started in order and ended whatever happens."""

import contextlib
import json
import socket
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg

from chaos.feed import DEAD_LETTERS
from chaos.place import HOST, Place, free_port
from chaos.processes import Process
from chaos.proxy import PostgresProxy
from chaos.warehouse import Warehouse
from pipeline.consume.readiness import check_sink
from pipeline.contract import Feed
from pipeline.local.queue.faults import Rule
from pipeline.local.queue.names import ACCOUNT
from pipeline.masking.key_file import KeyFile
from pipeline.masking.keyring import Keyring
from pipeline.resources.sqs_client import Endpoint, make_client

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

_SOURCES: Final = Path(__file__).parents[1]
_BIN: Final = Path(sys.executable).parent
_RETENTION: Final = str(14 * 86_400)
_MAX_RECEIVES: Final = "20"
_START_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 30.0
_ATTEMPTS: Final = 10  # the queue misbehaves to us too
_IN_FLIGHT: Final = "ApproximateNumberOfMessagesNotVisible"
_DEPTHS: Final[tuple["QueueAttributeNameType", ...]] = (
    "ApproximateNumberOfMessages",
    _IN_FLIGHT,
    "ApproximateNumberOfMessagesDelayed",
)


class Stage:
    """The services of a chaos run.

    Args:
        place: Its folder, empty.
        feed: What it drives.
        seed: For the queue.
    """

    def __init__(self, place: Place, feed: Feed, seed: int) -> None:
        self.place, self._feed, self._seed = place, feed, seed
        self.warehouse = Warehouse(place.postgres, place.said / "postgres")
        self.proxy = PostgresProxy(self.warehouse.address)
        self.rest_port, self._code_port = free_port(), free_port()
        self.processes: dict[str, Process] = {}
        self.queue_url = ""
        self._url_file = place.temporary / "postgres-url"

    @property
    def keyring(self) -> Keyring:
        """The keys of the run."""
        return KeyFile(self.place.keyring).load()

    @property
    def code_server(self) -> Process:
        """Loads the definitions, and starts the run workers."""
        return self.processes["code server"]

    def start(self) -> None:
        """Starts everything; Postgres and the queue are ready when this returns."""
        self.place.make(self._code_port)
        self.start_warehouse()
        self.proxy.start()
        check_sink(self._feed, url=self.warehouse.url, keyring=KeyFile(self.place.keyring))
        proxied = self.warehouse.url.replace(
            "{}:{}".format(*self.warehouse.address()), f"{HOST}:{self.proxy.port}"
        )
        self.queue_url = self._start_queue(self.place.environment("", proxied))
        self._looking = self.client()
        make_queues(self._looking, self._feed.queue)
        self._start_the_rest(self.place.environment(self.queue_url, proxied))

    def start_warehouse(self) -> None:
        """Starts Postgres, or starts it again, and tells the witness where it is."""
        self.warehouse.start()
        self._url_file.write_text(self.warehouse.url)

    def client(self) -> "SQSClient":
        """A client of the queue, as patient as a run's."""
        endpoint = Endpoint(self.queue_url, embedded=True)
        return make_client(endpoint, read_seconds=_CALL_SECONDS, connections=4, attempts=_ATTEMPTS)

    def depth(self, queue: str) -> int:
        """Messages on a queue, seen or not."""
        return self._count(queue, _DEPTHS)

    def in_flight(self) -> int:
        """Messages of the feed's queue that somebody holds."""
        return self._count(self._feed.queue, (_IN_FLIGHT,))

    def _count(self, queue: str, names: Sequence["QueueAttributeNameType"]) -> int:
        told = self._looking.get_queue_attributes(
            QueueUrl=f"{self.queue_url}/{ACCOUNT}/{queue}", AttributeNames=names
        )
        return sum(int(told["Attributes"][name]) for name in names)

    def count_batches(self) -> int | None:
        """How many batches have been loaded; None while Postgres is down."""
        with contextlib.suppress(psycopg.OperationalError):
            with psycopg.connect(self.warehouse.url, connect_timeout=2) as connection:
                row = connection.execute("SELECT count(*) FROM pipeline.account").fetchone()
            return int(row[0]) if row else None
        return None

    def spoil_queue(self, rules: Sequence[Rule]) -> None:
        """Has the queue misbehave by these rules from now on; without any it behaves."""
        content = {"rules": msgspec.to_builtins(rules), "seed": self._seed}
        self._control("SetRules", content)

    def queue_counts(self) -> dict[str, Any]:
        """What the queue has done by kind of fault, and what its witness has seen."""
        return self._control("Counts", {})

    def _control(self, operation: str, content: object) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - our own address
            self.queue_url,
            data=json.dumps(content).encode(),
            headers={"x-amz-target": f"QueueControl.{operation}"},
        )
        with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as answer:  # noqa: S310 - as above
            told: dict[str, Any] = json.load(answer)
        return told

    def end(self) -> None:
        """Ends every process; Postgres last."""
        for process in reversed(self.processes.values()):
            process.end()
        self.proxy.stop()
        self.warehouse.stop()

    def _start_queue(self, environment: dict[str, str]) -> str:
        """Starts the queue; its URL."""
        arguments = [str(self._url_file), "--seed", str(self._seed)]
        self._add("queue", ["-m", "chaos.queue_server", *arguments], environment)
        said = self.place.said / "queue"
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.processes["queue"].is_alive():
            if (line := said.read_text()).endswith("\n"):
                return str(json.loads(line)["url"])
            time.sleep(0.05)
        raise SystemExit(f"the queue did not start: see {said}")

    def _start_the_rest(self, environment: dict[str, str]) -> None:
        workspace = str(self.place.workspace)
        server = ["api", "grpc", "--host", HOST, "--port", str(self._code_port)]
        deployed = ["-m", "chaos.deployed", "--working-directory", str(_SOURCES)]
        location = ["--location-name", "chaos"]
        self._add("code server", ["-m", "dagster", *server, *deployed, *location], environment)
        _wait_for(self._code_port)  # a daemon that finds none looks again in a minute only
        daemon = [str(_BIN / "dagster-daemon"), "run", "--workspace", workspace]
        self._add("daemon", daemon, environment)
        rest = [str(_BIN / "pipeline"), "serve", "--port", str(self.rest_port), "--no-docs"]
        self._add("REST service", rest, environment)

    def _add(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        command = [sys.executable, *arguments]
        said = self.place.said / name.replace(" ", "-")
        paths = environment | {"PYTHONPATH": str(_SOURCES)}
        self.processes[name] = Process(command, paths, self.place.temporary, said)
        self.processes[name].start()


def make_queues(client: "SQSClient", name: str) -> None:
    """Makes a queue and its dead-letter queue, as deploy would on AWS."""
    retention: dict[QueueAttributeNameType, str] = {"MessageRetentionPeriod": _RETENTION}
    dead = client.create_queue(QueueName=f"{name}{DEAD_LETTERS}", Attributes=retention)
    arn = client.get_queue_attributes(QueueUrl=dead["QueueUrl"], AttributeNames=["QueueArn"])
    policy = {
        "deadLetterTargetArn": arn["Attributes"]["QueueArn"],
        "maxReceiveCount": _MAX_RECEIVES,
    }
    redrive: dict[QueueAttributeNameType, str] = {"RedrivePolicy": json.dumps(policy)}
    client.create_queue(QueueName=name, Attributes=retention | redrive)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.1)
