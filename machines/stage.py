"""What stands in the hub: Postgres, a queue, and a second one whose deletes are watched."""

import contextlib
import functools
import json
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from benchmarks.steered_queue import SteeredQueue
from chaos.place import HOST, Place, free_port
from chaos.processes import Process
from chaos.queues import DEPTHS, IN_FLIGHT, count, make_queues
from chaos.warehouse import Warehouse
from machines.addresses import SUBNET
from pipeline.consume.readiness import check_sink
from pipeline.contract import Feed
from pipeline.local.queue.names import ACCOUNT
from pipeline.masking.key_file import KeyFile
from pipeline.masking.keyring import Keyring
from pipeline.resources.sqs_client import Endpoint, make_client

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

SOURCES: Final = Path(__file__).parents[1]
"""Where the processes find the modules."""

_START_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 30.0
_QUIET_SECONDS: Final = 1.5  # longer than a long poll of the pipeline


class HubQueue(SteeredQueue):
    """A queue in the hub, which can be looked into."""

    @functools.cached_property
    def client(self) -> "SQSClient":
        """A client of it, from within the hub."""
        endpoint = Endpoint(self.url, embedded=True)
        return make_client(endpoint, read_seconds=_CALL_SECONDS, connections=4)

    def witnessed(self) -> dict[str, Any]:
        """What its witness has seen, where it has one."""
        return dict(self._steer("Counts", {}).get("witness") or {})

    def wait_until_quiet(self) -> None:
        """Waits until nobody receives any more: who is stopped then gets no message meanwhile."""
        calls, since = self.counts().calls, time.monotonic()
        while time.monotonic() - since < _QUIET_SECONDS:
            time.sleep(0.1)
            if (now := self.counts().calls) != calls:
                calls, since = now, time.monotonic()


@dataclass(frozen=True, slots=True)
class Progress:
    """Sums of the account since some moment.

    Attributes:
        received: Messages.
        loaded: Of these, rows.
        duplicate: What was settled before.
        quarantined: Entries of the quarantine.
        released: Given back.
    """

    received: int
    loaded: int
    duplicate: int
    quarantined: int
    released: int


class Stage:
    """The services of a campaign; started from within the hub.

    Args:
        root: A private folder, empty.
        feed: What is drained.
    """

    def __init__(self, root: Path, feed: Feed) -> None:
        self.place, self.feed = Place(root), feed
        self.warehouse = Warehouse(self.place.postgres, self.place.said / "postgres")
        self.processes: dict[str, Process] = {}
        self._url_file = self.place.temporary / "postgres-url"

    def start(self) -> None:
        """Starts everything; it is ready when this returns."""
        place = self.place
        folders = (place.postgres, place.said, place.temporary, place.accepted)
        for folder in (*folders, place.keyring.parent):
            folder.mkdir(mode=0o700)
        self.warehouse.start()
        self._let_machines_in()
        self._url_file.write_text(self.warehouse.url)
        check_sink(self.feed, url=self.warehouse.url, keyring=KeyFile(place.keyring))
        self.plain = self._start_queue("queue", ["-m", "pipeline.local.queue"])
        watched = ["-m", "chaos.queue_server", str(self._url_file)]
        self.watched = self._start_queue("watched-queue", watched)
        for queue in (self.plain, self.watched):
            make_queues(queue.client, self.feed.queue)

    @property
    def queues(self) -> Sequence[HubQueue]:
        """The plain one, and the one whose witness looks at each delete."""
        return self.plain, self.watched

    @property
    def keyring(self) -> Keyring:
        """The keys, which all machines share."""
        return KeyFile(self.place.keyring).load()

    def environment(self, queue: HubQueue) -> dict[str, str]:
        """The environment of a worker that drains a queue: a machine's 127.0.0.1 is the hub's."""
        named = self.place.environment(queue.url, self.warehouse.url)
        del named["DAGSTER_HOME"]  # each worker keeps its runs to itself, in memory
        # Each would take a thread for every core.
        return named | {"PYTHONPATH": str(SOURCES), "OPENBLAS_NUM_THREADS": "1"}

    def depth(self, queue: HubQueue) -> int:
        """Messages on a queue, seen or not."""
        return count(queue.client, f"{queue.url}/{ACCOUNT}/{self.feed.queue}", DEPTHS)

    def dead_letters(self, queue: HubQueue) -> int:
        """Messages on its dead-letter queue."""
        return count(queue.client, f"{queue.url}/{ACCOUNT}/{self.feed.queue}-dead-letter", DEPTHS)

    def held(self, queue: HubQueue) -> int:
        """Messages of a queue that somebody holds."""
        return count(queue.client, f"{queue.url}/{ACCOUNT}/{self.feed.queue}", (IN_FLIGHT,))

    def now(self) -> float:
        """The database's clock, as the ledger and the account know it."""
        return float(self._ask("SELECT extract(epoch FROM clock_timestamp())")[0][0])

    def progress(self, since: float) -> Progress:
        """What has been settled since a moment of the database's clock."""
        sums = self._ask(
            "SELECT coalesce(sum(received), 0), coalesce(sum(loaded), 0),"
            " coalesce(sum(duplicate), 0), coalesce(sum(quarantined), 0),"
            " coalesce(sum(released), 0) FROM pipeline.account"
            " WHERE committed_at >= to_timestamp(%s)",
            since,
        )
        return Progress(*map(int, sums[0]))

    def settled(self, since: float) -> list[tuple[float, int]]:
        """The moments at which events were settled since then, in order, and how many at each."""
        return [
            (float(moment), int(events))
            for moment, events in self._ask(
                "SELECT extract(epoch FROM settled_at), count(*) FROM pipeline.ledger"
                " WHERE settled_at >= to_timestamp(%s) GROUP BY 1 ORDER BY 1",
                since,
            )
        ]

    @property
    def postgres_pid(self) -> int:
        """The postmaster, of which each connection's process is a child."""
        pid_file = self.place.postgres / "postgres" / "data" / "postmaster.pid"
        return int(pid_file.read_text().split()[0])

    def end(self) -> None:
        """Ends everything, Postgres last."""
        for process in reversed(self.processes.values()):
            process.end()
        self.warehouse.stop()

    def _let_machines_in(self) -> None:
        """Postgres is to take passwords from the machines' addresses too, not from its own only."""
        rules = self.place.postgres / "postgres" / "data" / "pg_hba.conf"
        with rules.open("a") as file:
            file.write(f"host all all {SUBNET} scram-sha-256\n")
        self._ask("SELECT pg_reload_conf()")

    def _ask(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.warehouse.url) as connection:
            return connection.execute(statement.encode(), values).fetchall()

    def _start_queue(self, name: str, arguments: list[str]) -> HubQueue:
        port = free_port()
        told = json.loads(self._start(name, [*arguments, "--port", str(port)]))
        return HubQueue(told["url"], told["pid"])

    def _start(self, name: str, arguments: list[str]) -> str:
        """Starts a process; the first line that it says."""
        said = self.place.said / name
        environment = self.place.environment("", self.warehouse.url)
        process = Process(
            [sys.executable, *arguments],
            environment | {"PYTHONPATH": str(SOURCES)},
            self.place.temporary,
            said,
        )
        process.start()
        self.processes[name] = process
        if (line := _first_line(said, process)) is not None:
            return line
        raise SystemExit(f"machines: the {name} did not start; it said: {said.read_text()[-500:]}")

    def add(self, name: str, command: list[str], environment: dict[str, str]) -> Process:
        """Starts one more process in the hub, which is ended with the others."""
        said = self.place.said / name.replace(" ", "-")
        process = self.processes[name] = Process(command, environment, self.place.temporary, said)
        process.start()
        return process

    def wait_for_port(self, port: int) -> None:
        """Waits until somebody listens there; a daemon that finds none looks again in a minute."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
                return
            time.sleep(0.1)
        raise SystemExit("machines: the code server did not start")

    def make_database(self, name: str) -> str:
        """Makes an empty database; its URL."""
        with psycopg.connect(self.warehouse.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"{self.warehouse.url.rpartition('/')[0]}/{name}"


def _first_line(said: Path, process: Process) -> str | None:
    """The first whole line of a file, once it is there; None if the process ends before."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.is_alive():
        line, end, _ = said.read_text().partition("\n")
        if end:
            return line
        time.sleep(0.05)
    return None
