"""Fixtures: a world of its own for each run of the real job."""

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueServer
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.queue_fixtures import Clock, client_for, serving

if TYPE_CHECKING:
    from pipeline_tests.world import World


@pytest.fixture
def observed_queue(clock: Clock) -> Iterator[tuple[str, ObservedApp]]:
    """The URL of a queue server on a clock that stands still, and its application."""
    rng = random.Random(1)  # noqa: S311 - ids that are the same in every run
    app = ObservedApp(Queues(clock=clock, rng=rng))
    with serving(QueueServer(app)) as url:
        yield url, app


@pytest.fixture
def world(  # noqa: PLR0917 - fixtures, by name
    observed_queue: tuple[str, ObservedApp],
    warehouse_url: str,
    tmp_path: Path,
    clock: Clock,
    aws_session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
) -> "Iterator[World]":
    """A world with an empty queue, to which the settings of this process lead."""
    # Late: a test that asks for no world does not wait for Dagster.
    from pipeline_tests.world import World, lead_to, settings  # noqa: PLC0415

    endpoint, app = observed_queue
    environment = settings(endpoint, warehouse_url, tmp_path)
    lead_to(environment, monkeypatch)
    with contextlib.closing(client_for(endpoint, aws_session)) as sqs:
        queue_url = sqs.create_queue(QueueName="login-queue")["QueueUrl"]
        yield World(sqs, queue_url, warehouse_url, environment, app, clock)
