"""The REST service in a process of its own, whose memory and log a test can look at."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import boto3
from mypy_boto3_sqs import SQSClient

from pipeline.local.queue.server import QueueApp, QueueServer
from pipeline.produce.rest.limits import Limits
from pipeline_tests.queue_fixtures import client_for, new_queues, serving
from pipeline_tests.rest_service import FEEDS
from pipeline_tests.world import settings


@dataclass(frozen=True)
class RestProcess:
    """A running service.

    Attributes:
        port: Where it listens on 127.0.0.1.
        process: Where it runs.
        output: The file with all that it has written.
        sqs: A client of the queues behind it.
        at_rest: Bytes that it held in memory before its first request.
    """

    port: int
    process: subprocess.Popen[bytes]
    output: Path
    sqs: SQSClient
    at_rest: int

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://localhost:{self.port}"

    def memory(self) -> int:
        """Bytes that the process holds in memory now."""
        return resident(self.process.pid)

    def stop(self) -> None:
        """Ends it, as whoever runs it would."""
        self.process.terminate()
        self.process.wait(timeout=10)

    def depth(self, queue: str = "login-queue") -> int:
        """How many messages wait on a queue."""
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        answer = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])


@contextlib.contextmanager
def rest_process(folder: Path, limits: Limits, **environment: str) -> Iterator[RestProcess]:
    """Run the service before queues of its own.

    Args:
        folder: For what it writes.
        limits: Its bounds.
        environment: Further settings.
    """
    with (
        serving(QueueServer(QueueApp(new_queues()))) as queues,
        contextlib.closing(client_for(queues, boto3.Session())) as sqs,
        (folder / "output").open("wb") as output,
    ):
        for feed in FEEDS:
            sqs.create_queue(QueueName=feed.queue)
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline_tests.rest_service", json.dumps(asdict(limits))],
            env=settings(queues, "", folder) | environment,
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            stderr=output,
        )
        with process, terminating(process):
            assert process.stdout
            port = process.stdout.readline()
            assert port, (folder / "output").read_text()
            memory = resident(process.pid)
            yield RestProcess(int(port), process, folder / "output", sqs, memory)


def resident(pid: int) -> int:
    """Bytes that a process holds in memory."""
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], check=True, capture_output=True)
    return int(told.stdout) * 1024


@contextlib.contextmanager
def terminating(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process with the block."""
    try:
        yield
    finally:
        process.terminate()
