"""Everything that a chaos run consists of, started in order and ended whatever happens."""

import contextlib
import functools
import json
import socket
import sys
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec
import psycopg
from botocore.exceptions import BotoCoreError, ClientError
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import ExecuteRunArgs

from chaos.errands import Errands
from chaos.liveness import Liveness
from chaos.place import HOST, Place, free_port
from chaos.processes import Process
from chaos.proxy import PostgresProxy
from chaos.queues import DEPTHS, IN_FLIGHT, count, make_queues
from chaos.warehouse import Warehouse
from chaos.webhook import Webhook
from chaos.workers import Workers
from pipeline.consume.readiness import check_sink
from pipeline.contract import Feed
from pipeline.local.queue.faults import Rule
from pipeline.local.queue.names import ACCOUNT
from pipeline.masking.key_file import KeyFile
from pipeline.masking.keyring import Keyring
from pipeline.resources.sqs_client import Endpoint, make_client

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_SOURCES: Final = Path(__file__).parents[1]
_BIN: Final = Path(sys.executable).parent
_START_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 30.0
_ATTEMPTS: Final = 10  # the queue misbehaves to us too
_GLANCE_SECONDS: Final = 3.0


class Stage:
    """The services of a chaos run.

    Args:
        place: Its folder, empty.
        feeds: What it drives.
        seed: For the queue.
    """

    def __init__(self, place: Place, feeds: Sequence[Feed], seed: int) -> None:
        self.place, self.feeds, self._seed = place, feeds, seed
        self.warehouse = Warehouse(place.postgres, place.said / "postgres")
        self.proxy = PostgresProxy(self.warehouse.address)
        self.webhook = Webhook(place.said / "webhook")
        self.rest_port, self._code_port = free_port(), free_port()
        self.processes: dict[str, Process] = {}
        self.launched_again: list[Process] = []
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

    @functools.cached_property
    def liveness(self) -> Liveness:
        """Whether the code server answers."""
        client = DagsterGrpcClient(port=self._code_port, host=HOST)
        return Liveness(lambda: client.ping(""))

    def start(self) -> None:
        """Starts everything; Postgres and the queue are ready when this returns."""
        self.place.make(self._code_port)
        self.start_warehouse()
        self.proxy.start()
        self.webhook.start()
        for feed in self.feeds:
            check_sink(feed, url=self.warehouse.url, keyring=KeyFile(self.place.keyring))
        proxied = self.warehouse.url.replace(
            "{}:{}".format(*self.warehouse.address()), f"{HOST}:{self.proxy.port}"
        )
        self.queue_url = self._start_queue(self.place.environment("", proxied))
        self._looking, self._glancing = self.client(), self._glancer()
        for feed in self.feeds:
            make_queues(self._looking, feed.queue)
        self._environment = self.place.environment(self.queue_url, proxied, self.webhook.url)
        self._start_the_rest(self._environment)
        self.liveness.start()

    def start_warehouse(self) -> None:
        """Starts Postgres, or starts it again, and tells the witness where it is."""
        self.warehouse.start()
        self._url_file.write_text(self.warehouse.url)

    def client(self) -> "SQSClient":
        """A client of the queue, as patient as a run's."""
        endpoint = Endpoint(self.queue_url, embedded=True)
        return make_client(endpoint, read_seconds=_CALL_SECONDS, connections=4, attempts=_ATTEMPTS)

    def _glancer(self) -> "SQSClient":
        """A client that waits for nothing, for whoever has no time to lose."""
        endpoint = Endpoint(self.queue_url, embedded=True)
        return make_client(endpoint, read_seconds=_GLANCE_SECONDS, connections=1, attempts=1)

    def depth(self, queue: str) -> int:
        """Messages on a queue, seen or not."""
        return count(self._looking, f"{self.queue_url}/{ACCOUNT}/{queue}", DEPTHS)

    def in_flight(self, feed: str) -> int | None:
        """Messages of a feed's queue that somebody holds; None while the queue does not say."""
        (queue,) = (each.queue for each in self.feeds if each.name == feed)
        with contextlib.suppress(ClientError, BotoCoreError):
            return count(self._glancing, f"{self.queue_url}/{ACCOUNT}/{queue}", (IN_FLIGHT,))
        return None

    @functools.cached_property
    def workers(self) -> Workers:
        """The run workers, as Dagster knows them."""
        return Workers(self.place.dagster)

    @functools.cached_property
    def errands(self) -> Errands:
        """What people do meanwhile."""
        place = self.place
        return Errands(_BIN / "pipeline", self._environment, place.temporary, place.said)

    def launch_again(self, run_id: str) -> None:
        """Starts one more worker for a run that has one, as a launcher that was in doubt does."""
        run = self.workers.instance.get_run_by_id(run_id)
        if run is None or run.job_code_origin is None:
            return
        arguments = ExecuteRunArgs(
            run.job_code_origin, run_id, self.workers.instance.get_ref()
        ).get_command_args()
        command = [sys.executable, "-m", "dagster", *arguments[arguments.index("api") :]]
        said = self.place.said / "launched-again"
        paths = self._environment | {"PYTHONPATH": str(_SOURCES)}
        process = Process(command, paths, self.place.temporary, said)
        process.start()
        self.launched_again.append(process)

    def at_work(self) -> bool:
        """Whether any run worker lives, or somebody is at an errand."""
        return bool(self.code_server.workers()) or any(
            each.is_alive() for each in self.launched_again
        )

    def count_batches(self) -> int | None:
        """How many batches have been loaded; None while Postgres is down."""
        with contextlib.suppress(psycopg.OperationalError):
            with psycopg.connect(self.warehouse.url, connect_timeout=2) as connection:
                row = connection.execute("SELECT count(*) FROM pipeline.account").fetchone()
            return int(row[0]) if row else None
        return None

    def count_loaded(self, before: datetime) -> int:
        """How many rows had been loaded by some moment."""
        with psycopg.connect(self.warehouse.url) as connection:
            row = connection.execute(
                "SELECT coalesce(sum(loaded), 0) FROM pipeline.account WHERE committed_at < %s",
                (before,),
            ).fetchone()
        return int(row[0]) if row else 0

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
        with urllib.request.urlopen(request, timeout=_CALL_SECONDS) as answer:  # noqa: S310 - as above  # nosec B310
            told: dict[str, Any] = json.load(answer)
        return told

    def end_those_who_write(self) -> None:
        """Ends everything but Postgres and the queue; nothing is written any more."""
        self.liveness.stop()
        others = [process for name, process in self.processes.items() if name != "queue"]
        for process in (*self.launched_again, *reversed(others)):
            process.end()
        if "errands" in vars(self):
            self.errands.end()
        if "workers" in vars(self):
            self.workers.close()
            del self.workers
        self.webhook.stop()

    def end(self) -> None:
        """Ends every process; Postgres last."""
        self.end_those_who_write()
        for process in self.processes.values():
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
        web = [str(_BIN / "dagster-webserver"), "--host", HOST, "--port", str(free_port())]
        self._add("web server", [*web, "--workspace", workspace], environment)

    def _add(self, name: str, arguments: list[str], environment: dict[str, str]) -> None:
        command = [sys.executable, *arguments]
        said = self.place.said / name.replace(" ", "-")
        paths = environment | {"PYTHONPATH": str(_SOURCES)}
        self.processes[name] = Process(command, paths, self.place.temporary, said)
        self.processes[name].start()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.1)
