"""The embedded queue as a process of its own: its start, what steers it, and its end."""

import contextlib
import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from pipeline.local.queue.clock import ManualClock
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.process import main
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import create_app
from pipeline_tests import queue_caller
from pipeline_tests.queue_caller import Caller, run
from pipeline_tests.queue_fixtures import client_for, seeded_queues

SHORT = {"operation": "ReceiveMessage", "effect": {"kind": "short", "most": 1}}


@contextlib.contextmanager
def running(*options: str) -> Iterator[str]:
    """A process; its URL. It is asked to end, and must end well."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.local.queue", "--port", "0", *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert ready["pid"] == process.pid
        yield ready["url"]
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def steer(url: str, operation: str, **content: object) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    with contextlib.closing(connection):
        headers = {"X-Amz-Target": f"QueueControl.{operation}"}
        connection.request("POST", "/", json.dumps(content), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def test_it_is_steered_over_its_own_port_and_its_snapshot_outlives_it(
    tmp_path: Path, aws_session: boto3.Session
) -> None:
    rules, snapshot = tmp_path / "rules.json", tmp_path / "snapshot"
    rules.write_text(json.dumps([SHORT]))
    options = ["--snapshot", str(snapshot), "--standing-still", "1700000000"]
    with (
        running(*options, "--rules", str(rules), "--seed", "1") as url,
        contextlib.closing(client_for(url, aws_session)) as sqs,
    ):
        on_q = sqs.create_queue(QueueName="q")["QueueUrl"]
        for body in "abc":
            sqs.send_message(QueueUrl=on_q, MessageBody=body)
        (first,) = sqs.receive_message(QueueUrl=on_q, MaxNumberOfMessages=10)["Messages"]
        assert steer(url, "AdvanceClock", seconds=31) == (200, {"now": 1_700_000_031})
        assert steer(url, "SetRules", rules=[]) == (200, {})
        messages = sqs.receive_message(QueueUrl=on_q, MaxNumberOfMessages=10)["Messages"]
        assert first["MessageId"] in {message["MessageId"] for message in messages}
        assert steer(url, "Counts") == (
            200,
            {
                "now": 1_700_000_031,
                "calls": {"CreateQueue": 1, "SendMessage": 3, "ReceiveMessage": 2},
                "faults": {"short": 1},
            },
        )
        status, answer = steer(url, "SetRules", rules=[SHORT, SHORT | {"probability": 2}])
        assert status == 400
        assert answer["message"] == "probability: from 0 to 1 - at `$.rules[1]`"
    assert snapshot.stat().st_mode & 0o077 == 0
    with running(*options) as url, contextlib.closing(client_for(url, aws_session)) as sqs:
        shown = sqs.get_queue_attributes(QueueUrl=queue_caller.URL, AttributeNames=["All"])
        assert shown["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "3"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"operation": "Recieve", "effect": {"kind": "drop"}}]', "operation: no operation"),
        ("[", "A rule of the queue is not well-formed"),
        (None, "The file of rules cannot be read: No such file"),
    ],
)
def test_bad_rules_are_one_clear_error_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, says: str
) -> None:
    rules = tmp_path / "rules.json"
    if content is not None:
        rules.write_text(content)
    assert main(["--rules", str(rules)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err


@pytest.mark.parametrize(
    ("operation", "content", "says"),
    [
        ("Reset", {}, "There is SetRules, AdvanceClock, Counts."),
        ("AdvanceClock", {"seconds": -1}, "the clock cannot be turned back"),
        ("AdvanceClock", {}, "missing required field `seconds`"),
        ("SetRules", {"rule": []}, "unknown field `rule`"),
    ],
)
def test_steering_that_cannot_be_meant_is_refused(
    operation: str, content: dict[str, object], says: str
) -> None:
    async def scenario(caller: Caller) -> None:
        assert says in (await caller.steer(operation, **content))["message"]

    run(create_app(seeded_queues(ManualClock(0)), Misbehaviour()), scenario)


def test_a_clock_that_nobody_may_move_stays(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        answer = await caller.steer("AdvanceClock", seconds=1)
        assert "cannot be moved" in answer["message"]

    run(create_app(queues, Misbehaviour()), scenario)


def test_a_queue_that_behaves_cannot_be_steered(queues: Queues) -> None:
    async def scenario(caller: Caller) -> None:
        answer = await caller.steer("Counts")
        assert answer == {"message": "This queue behaves, and cannot be steered"}

    run(create_app(queues), scenario)
