"""All that a run of the real job needs outside itself, and what tests ask of it."""

import datetime as dt
import json
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, LiteralString

import dagster as dg
import psycopg
import pytest
from mypy_boto3_sqs import SQSClient
from psycopg import sql

import pipeline
from pipeline import feeds
from pipeline.definitions import defs
from pipeline.operate.drain import ingest_once
from pipeline.resources.settings import without_services
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.queue_fixtures import Clock
from pipeline_tests.samples import login

JOB: Final = "ingest_user_logins"
CLOCK_DAY: Final = dt.date(2023, 11, 14)
"""The day on which the clock of `queue_fixtures` stands still, in UTC."""


@dataclass(frozen=True)
class World:
    """The outside of a run: a queue, an empty warehouse, a key file, and an environment.

    Attributes:
        sqs: A client of the queue's server.
        queue_url: The feed's queue, which exists already.
        postgres_url: The warehouse.
        environment: The settings that lead there; those of this process are the same.
        app: The server, with its calls.
        clock: The queue's clock, which stands still.
    """

    sqs: SQSClient
    queue_url: str
    postgres_url: str
    environment: Mapping[str, str]
    app: ObservedApp
    clock: Clock

    @property
    def keyring(self) -> Path:
        """The key file, which the first run makes."""
        return Path(self.environment["PIPELINE_KEYRING"])

    def send(self, bodies: Sequence[str], event_ids: Sequence[str] | None = None) -> list[str]:
        """Puts messages on the queue; the event ids they carry, new ones if none are given."""
        ids = list(event_ids or (str(uuid.uuid4()) for _ in bodies))
        for first in range(0, len(bodies), 10):
            answer = self.sqs.send_message_batch(
                QueueUrl=self.queue_url,
                Entries=[
                    {
                        "Id": str(place),
                        "MessageBody": bodies[place],
                        "MessageAttributes": {
                            "event_id": {"DataType": "String", "StringValue": ids[place]}
                        },
                    }
                    for place in range(first, min(first + 10, len(bodies)))
                ],
            )
            assert not answer.get("Failed")
        return ids

    def ingest(self) -> Mapping[str, Any]:
        """One run in this process; the metadata of its materialisation."""
        with dg.DagsterInstance.ephemeral() as instance:
            return ingest_once(defs(), feeds.find("user_logins"), instance).numbers

    def run(self) -> dg.ExecuteInProcessResult:
        """One run in this process, successful or not."""
        job = defs().resolve_job_def(JOB)
        with dg.DagsterInstance.ephemeral() as instance:
            return job.execute_in_process(instance=instance, raise_on_error=False)

    def query(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """The rows of a query, or none of a statement that has none."""
        with psycopg.connect(self.postgres_url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def depth(self) -> tuple[int, int]:
        """How many messages wait, and how many are in flight."""
        answer = self.sqs.get_queue_attributes(QueueUrl=self.queue_url, AttributeNames=["All"])
        attributes = answer["Attributes"]
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
        )

    def receive_counts(self) -> list[int]:
        """How often each waiting message has been delivered; this delivery included."""
        counts: list[int] = []
        while True:
            messages = self.sqs.receive_message(
                QueueUrl=self.queue_url,
                MaxNumberOfMessages=10,
                MessageSystemAttributeNames=["ApproximateReceiveCount"],
            ).get("Messages", [])
            counts += [int(each["Attributes"]["ApproximateReceiveCount"]) for each in messages]
            if not messages:
                return counts


def settings(endpoint: str, postgres_url: str, folder: Path) -> dict[str, str]:
    """The environment that leads to a queue and a warehouse, and to nothing of this machine."""
    return {
        "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
        # Else a process that is started from a copy of the tree would run what is installed.
        "PYTHONPATH": str(Path(pipeline.__file__).parents[1]),
        "HOME": str(folder),
        "AWS_ENDPOINT_URL_SQS": endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(folder / "no-aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "no-aws-credentials"),
        "PIPELINE_POSTGRES_URL": postgres_url,
        "PIPELINE_KEYRING": str(folder / "keys" / "keyring.json"),
        "PIPELINE_LOCAL_DIR": str(folder / "local"),
    }


def lead_to(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give this process the settings of an environment, and no others of their kind."""
    for name in set(os.environ) - set(without_services(os.environ)):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        if name != "PATH":
            monkeypatch.setenv(name, value)


def sample_bodies() -> list[str]:
    """A hundred messages: 99 logins, 29 of them without a locale, and one of another type."""
    versions = ("2.3.0", "0.96", "9.10", "2.00")
    bodies = [
        json.dumps(
            login(
                user_id=f"{place:08x}-0000-4000-8000-000000000000",
                app_version=versions[place % 4],
                ip=f"198.51.100.{place % 90}",
                locale=None if place % 99 < 29 else "DE",
                device_id=f"100-20-{place:04}",
            )
        )
        for place in range(99)
    ]
    return [*bodies[:50], json.dumps({"foo": "another", "bar": "123"}), *bodies[50:]]


def free_port() -> int:
    """A port at which nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    return port


def admit(postgres_url: str, *, connections: bool) -> None:
    """Lets a database accept connections, or end those it has and refuse new ones."""
    server, _, database = postgres_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(
            sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}").format(
                sql.Identifier(database), sql.Literal(connections)
            )
        )
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (database,),
        )


def lock(holder: psycopg.Connection, table: str) -> None:
    """Keeps everybody else from a table, until the holder's transaction ends."""
    name = sql.Identifier(*table.split("."))
    holder.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
