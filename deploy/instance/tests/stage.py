"""An instance as it is deployed: code server, web server and daemon, each a process of its own.

Postgres and SQS are the embedded ones, S3 is moto's server. `deploy/dagster.yaml` and
`deploy/workspace.yaml` are copied as they are; all else is said by the environment.
"""

import contextlib
import json
import random
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import boto3
import httpx
import psycopg
from moto.server import ThreadedMotoServer
from mypy_boto3_sqs import SQSClient

import pipeline
from chaos.place import HOST, free_port
from chaos.processes import Process
from pipeline.feeds import discover
from pipeline.feeds.user_logins import FEED
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueApp, QueueServer
from pipeline.warehouse.migrate import migrate
from pipeline_tests.crash_case import is_waited_for
from pipeline_tests.outside_world import ask
from pipeline_tests.postgres_fixtures import database
from pipeline_tests.queue_fixtures import client_for, serving
from pipeline_tests.samples import eventually, login
from pipeline_tests.world import lock, settings

CHECKOUT: Final = Path(pipeline.__file__).parents[1]
BUCKET: Final = "logs-of-runs"
LOGINS: Final = 40
_BIN: Final = Path(sys.executable).parent
_REGION: Final = "us-east-1"
PATIENCE: Final = 180.0  # seconds, for processes that import everything on a busy machine
_LATER: Final = 1_000.0  # seconds: longer than any visibility timeout of the feed


class Clock:
    """The real time, and what a test adds to it, so that hidden messages show again."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Stage:
    """The instance and its outside.

    Attributes:
        sqs: A client of the queue's server.
        queue_url: The feed's queue.
        warehouse: The URL of the warehouse.
        history: The URL of Dagster's database.
        environment: Of all processes.
        home: DAGSTER_HOME.
        clock: The queue's.
        s3: A client of moto's S3.
        code: The code server.
        web: The web server.
        daemon: The daemon.
        users: Those whose logins were sent.
    """

    sqs: SQSClient
    queue_url: str
    warehouse: str
    history: str
    environment: Mapping[str, str]
    home: Path
    clock: Clock
    s3: Any
    code: Process
    web: Process
    daemon: Process
    users: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Starts what does not run, and waits until code server and web server answer."""
        self.code.start()
        port = int(self.environment["PIPELINE_CODE_PORT"])
        eventually(partial(_listens, self.code, port), patience=PATIENCE)
        self.web.start()
        eventually(self._web_answers, patience=PATIENCE)
        self.daemon.start()

    def take_release(self, sources: Path) -> None:
        """Lets all processes be of another release, once those that run have ended.

        Args:
            sources: The folder with its package.
        """
        assert not any(each.is_alive() for each in (self.code, self.web, self.daemon))
        self.end()
        self.environment = {**self.environment, "PYTHONPATH": str(sources)}
        self.code, self.web, self.daemon = _processes(self.home.parent, self.environment)

    def send(self, count: int, **more: str) -> None:
        """Logins of as many new users, each with further fields."""
        begin = len(self.users)
        users = [
            f"{place:08x}-0000-4000-8000-000000000000" for place in range(begin, begin + count)
        ]
        self.users += users
        bodies = [json.dumps(login(user_id=user, **more)) for user in users]
        send_bodies(self.sqs, self.queue_url, bodies)

    def graphql(self, query: str, **variables: object) -> dict[str, Any]:
        """What the web server answers."""
        answer = httpx.post(
            f"{self.web_url}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        )
        answer.raise_for_status()
        told: dict[str, Any] = answer.json()
        assert "errors" not in told, told
        found: dict[str, Any] = told["data"]
        return found

    @property
    def web_url(self) -> str:
        """Where the web server is."""
        return f"http://{HOST}:{self.environment['WEB_PORT']}"

    def runs(self) -> list[dict[str, Any]]:
        """All runs of the feed's job, the latest first, as the web server tells of them."""
        told = self.graphql(
            "{ runsOrError(filter: {pipelineName: "
            f'"ingest_{FEED.name}"'
            "}) { ... on Runs { results { runId status } } } }"
        )
        runs: list[dict[str, Any]] = told["runsOrError"]["results"]
        return runs

    def wait_for_rows(self) -> None:
        """Waits until each user has a row, and nothing is left on the queue."""
        eventually(self._is_drained, patience=PATIENCE)

    def assert_nothing_lost_or_doubled(self) -> None:
        """Each login that was ever sent has one row, and every account adds up."""
        rows = ask(self.warehouse, "SELECT user_id FROM user_logins ORDER BY user_id")
        assert [user for (user,) in rows] == sorted(self.users)
        [(adds_up, loaded)] = ask(
            self.warehouse,
            "SELECT bool_and(received = loaded + duplicate + quarantined + coalesce(released, 0)),"
            " sum(loaded) FROM pipeline.account",
        )
        assert adds_up
        assert loaded == len(self.users)

    def show_hidden(self) -> None:
        """Lets so much time pass on the queue that what a dead run has received comes again."""
        self.clock.ahead += _LATER

    def logs(self) -> list[str]:
        """The keys of all objects in the bucket."""
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def end(self) -> None:
        """Ends all processes, and whatever they have left behind."""
        for process in (self.daemon, self.web, self.code):
            process.end()

    def _is_drained(self) -> bool:
        if not ask(self.warehouse, "SELECT to_regclass('user_logins')")[0][0]:
            return False
        [(rows,)] = ask(self.warehouse, "SELECT count(DISTINCT user_id) FROM user_logins")
        return bool(rows == len(self.users)) and depth(self.sqs, self.queue_url) == 0

    def _web_answers(self) -> bool:
        assert self.web.is_alive(), "the web server has ended"
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.web_url}/server_info", timeout=5).status_code == 200
        return False


@contextlib.contextmanager
def batch_in_hand(stage: Stage) -> Iterator[None]:
    """A run has received the logins that were sent, and waits for a table, for the block."""
    with psycopg.connect(stage.warehouse) as holder:
        lock(holder, "pipeline.account")
        stage.send(LOGINS)
        eventually(lambda: is_waited_for(holder), patience=PATIENCE)
        yield


def send_bodies(sqs: SQSClient, queue_url: str, bodies: Sequence[str]) -> None:
    """Puts messages on a queue, each an event of its own."""
    for begin in range(0, len(bodies), 10):
        entries = [
            {"Id": str(place), "MessageBody": body}
            for place, body in enumerate(bodies[begin : begin + 10])
        ]
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)  # type: ignore[arg-type] # as it wants them
        assert not answer.get("Failed")


def depth(sqs: SQSClient, queue_url: str) -> int:
    """How many messages wait or are in flight."""
    told = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])["Attributes"]
    hidden = int(told["ApproximateNumberOfMessagesNotVisible"])
    return int(told["ApproximateNumberOfMessages"]) + hidden


@contextlib.contextmanager
def moto_s3() -> Iterator[str]:
    """The URL of moto's server, with an empty bucket."""
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextlib.contextmanager
def deployed(server: EmbeddedPostgres, aws: boto3.Session, folder: Path) -> Iterator[Stage]:
    """The instance, whose processes wait to be started.

    Args:
        server: Has the databases.
        aws: Makes the clients.
        folder: An empty one.
    """
    clock = Clock()
    app = QueueApp(Queues(clock=clock, rng=random.SystemRandom()))
    with (
        database(server) as warehouse,
        database(server) as history,
        serving(QueueServer(app)) as endpoint,
        moto_s3() as s3_endpoint,
        contextlib.closing(client_for(endpoint, aws)) as sqs,
    ):
        s3 = aws.client(
            "s3", endpoint_url=s3_endpoint, region_name=_REGION,
            aws_access_key_id="test", aws_secret_access_key="test",  # noqa: S106 - moto checks none
        )  # fmt: skip
        s3.create_bucket(Bucket=BUCKET)
        queues = {
            feed.name: sqs.create_queue(QueueName=feed.queue)["QueueUrl"] for feed in discover()
        }
        migrate(warehouse, discover())
        home = folder / "home"
        environment = (
            settings(endpoint, warehouse, folder)
            | _of_the_instance(home, history)
            | {
                "AWS_DEFAULT_REGION": _REGION,
                "AWS_ENDPOINT_URL_S3": s3_endpoint,
            }
        )
        stage = Stage(
            sqs, queues[FEED.name], warehouse, history, environment, home, clock, s3,
            *_processes(folder, environment),
        )  # fmt: skip
        try:
            yield stage
        finally:
            stage.end()


def _of_the_instance(home: Path, history: str) -> dict[str, str]:
    home.mkdir(mode=0o700)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(CHECKOUT / "deploy" / name, home)
    temporary = home.parent / "temporary"
    temporary.mkdir(mode=0o700)
    return {
        "DAGSTER_HOME": str(home),
        "DAGSTER_POSTGRES_URL": history,
        # Else web server and daemon make folders for it in DAGSTER_HOME, though it is off.
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "TMPDIR": str(temporary),
        "PIPELINE_LOG_BUCKET": BUCKET,
        "PIPELINE_CODE_HOST": HOST,
        "PIPELINE_CODE_PORT": str(free_port()),
        "WEB_PORT": str(free_port()),  # of these tests alone
    }


def _processes(folder: Path, environment: Mapping[str, str]) -> tuple[Process, Process, Process]:
    workspace = str(folder / "home" / "workspace.yaml")
    where = ("-h", HOST, "-p")
    commands: Mapping[str, Sequence[str]] = {
        "code": (
            str(_BIN / "dagster"), "api", "grpc", *where, environment["PIPELINE_CODE_PORT"],
            "-m", "pipeline.definitions",
        ),
        "web": (
            str(_BIN / "dagster-webserver"), *where, environment["WEB_PORT"], "-w", workspace,
        ),
        "daemon": (str(_BIN / "dagster-daemon"), "run", "-w", workspace),
    }  # fmt: skip
    code, web, daemon = (
        Process(command, environment, folder / "temporary", folder / f"{name}.log")
        for name, command in commands.items()
    )
    return code, web, daemon


def _listens(process: Process, port: int) -> bool:
    assert process.is_alive(), "the code server has ended"
    with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
        return True
    return False
