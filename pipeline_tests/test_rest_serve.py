"""`pipeline serve` as a process: what it says, whom it lets in, and how it ends."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import boto3
import httpx
import pytest
from mypy_boto3_sqs import SQSClient

import pipeline
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.rest_case import LOGINS, USER_LOGINS, observed_queue
from pipeline_tests.samples import eventually, login

PIPELINE: Final = Path(sys.executable).with_name("pipeline")
_SEND: Final = "SendMessageBatch"


@pytest.fixture(scope="module")
def observed(aws_session: boto3.Session) -> Iterator[tuple[SQSClient, ObservedApp]]:
    """A queue of this file's own, with its calls."""
    with observed_queue(aws_session) as pair:
        SqsQueue(pair[0], USER_LOGINS, embedded=True)
        yield pair


def environment(sqs: SQSClient, folder: Path) -> dict[str, str]:
    """What a least-privileged producer is given: SQS, and nothing else."""
    return {
        "PATH": "/usr/bin:/bin",
        # Else a process that is started from a copy of the tree would run what is installed.
        "PYTHONPATH": str(Path(pipeline.__file__).parents[1]),
        "HOME": str(folder),
        "AWS_ENDPOINT_URL_SQS": sqs.meta.endpoint_url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PIPELINE_LOCAL_DIR": str(folder / "local"),
    }


@contextlib.contextmanager
def serve(given: Mapping[str, str], *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running service: its URL and its process."""
    process = subprocess.Popen(
        [str(PIPELINE), "serve", "--port", "0", *options],
        env=dict(given), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert said.startswith("listening on http://"), said
        assert "no API keys: anybody on this machine may send" in process.stderr.readline()
        yield said.split()[-1], process
    finally:
        process.kill()
        process.communicate()


def test_what_was_accepted_is_sent_and_answered_before_the_process_ends(
    observed: tuple[SQSClient, ObservedApp], tmp_path: Path
) -> None:
    """Fault 74: SIGTERM while SQS is slow; then exit status 0, one line of the log a request."""
    sqs, app = observed
    linger = ("--linger-ms", "900")
    with serve(environment(sqs, tmp_path), *linger) as (url, process), httpx.Client() as http:
        with ThreadPoolExecutor(5) as pool:
            begun = [pool.submit(http.post, url + LOGINS, json=login()) for _ in range(5)]
            eventually(lambda: "pending_messages 5.0" in http.get(f"{url}/metrics").text)
            process.send_signal(signal.SIGTERM)
            assert [each.result().status_code for each in begun] == [202] * 5
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    posts = [line for line in map(json.loads, out.splitlines()) if line["method"] == "POST"]
    assert [(line["status"], line["count"]) for line in posts] == [(202, 1)] * 5
    assert app.calls[_SEND] == 1
    assert SqsQueue(sqs, USER_LOGINS, embedded=True).depth().visible == 5
    assert not (tmp_path / "local").exists()


def test_without_keys_it_listens_on_loopback_only(
    observed: tuple[SQSClient, ObservedApp], tmp_path: Path
) -> None:
    done = subprocess.run(
        [str(PIPELINE), "serve", "--host", "0.0.0.0", "--port", "0"],  # noqa: S104 - it is refused
        env=environment(observed[0], tmp_path), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error E_SETTINGS: without API keys the service listens on")


def test_the_address_must_be_free(observed: tuple[SQSClient, ObservedApp], tmp_path: Path) -> None:
    given = environment(observed[0], tmp_path)
    with serve(given) as (url, _):
        done = subprocess.run(
            [str(PIPELINE), "serve", "--port", url.rpartition(":")[2]],
            env=given, text=True, capture_output=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be listened on" in done.stderr
