"""One suite for the embedded queue and for moto: both do what SQS does, or the case says how not.

A known deviation is asserted too, so that the suite says when it is gone. The same cases run
against LocalStack and AWS by `make conformance`.
"""

import contextlib
import random
from collections.abc import Iterator
from typing import NamedTuple, cast

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_sqs import SQSClient

from pipeline.local.queue.clock import ManualClock
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueServer
from pipeline.resources.sqs_client import Endpoint, make_clients
from pipeline.transport.client import LeanClient
from pipeline_tests.queue_fixtures import FreshApp, client_for, serving
from pipeline_tests.sqs_account import Account
from pipeline_tests.sqs_case import Need, outcome
from pipeline_tests.sqs_suite import CASES

URL = "https://sqs.us-east-1.amazonaws.com"
"""Which moto answers before any call gets out."""

WITHOUT_A_CLOCK = [name for name, case in CASES.items() if Need.CLOCK not in case.needs]


class Clocked(NamedTuple):
    """An embedded queue whose time passes only when a case says so."""

    url: str
    app: FreshApp
    clock: ManualClock


@pytest.fixture(scope="module")
def clocked() -> Iterator[Clocked]:
    """One server for all cases."""
    clock = ManualClock(1_700_000_000.0)
    app = FreshApp(lambda: Queues(clock=clock, rng=random.SystemRandom()))
    with serving(QueueServer(app)) as url:
        yield Clocked(url, app, clock)


@pytest.fixture
def embedded(clocked: Clocked, aws_session: boto3.Session) -> Iterator[Account]:
    """An account of the embedded queue, without queues."""
    clocked.app.replace()
    with contextlib.closing(client_for(clocked.url, aws_session)) as sqs:
        yield Account(sqs, move_clock=clocked.clock.advance)


@pytest.fixture
def moto(aws_session: boto3.Session) -> Iterator[Account]:
    """An account whose calls moto answers inside this process, without queues."""
    with mock_aws(), contextlib.closing(client_for(URL, aws_session)) as sqs:
        yield Account(sqs)


class Hot:
    """A boto3 client whose hot calls go over the lean transport."""

    def __init__(self, client: SQSClient, lean: LeanClient) -> None:
        self._client = client
        self.receive_message = lean.receive_message
        self.delete_message_batch = lean.delete_message_batch
        self.change_message_visibility_batch = lean.change_message_visibility_batch

    def __getattr__(self, name: str) -> object:
        return getattr(self._client, name)


@pytest.fixture
def lean(clocked: Clocked) -> Iterator[Account]:
    """An account of the embedded queue, without queues, over the lean transport."""
    clocked.app.replace()
    endpoint = Endpoint(clocked.url, embedded=True)
    sqs, hot = make_clients(endpoint, read_seconds=30, connections=1)
    assert isinstance(hot, LeanClient)
    with contextlib.closing(sqs):
        yield Account(cast("SQSClient", Hot(sqs, hot)), move_clock=clocked.clock.advance)


@pytest.mark.parametrize("name", CASES)
def test_the_lean_transport_does_what_boto3_does(lean: Account, name: str) -> None:
    case = CASES[name]
    assert outcome(case, lean) == case.expected("embedded")


@pytest.mark.parametrize("name", CASES)
def test_the_embedded_queue_does_what_sqs_does(embedded: Account, name: str) -> None:
    case = CASES[name]
    assert outcome(case, embedded) == case.expected("embedded")


@pytest.mark.parametrize("name", WITHOUT_A_CLOCK)
def test_moto_does_what_sqs_does_or_deviates_as_known(moto: Account, name: str) -> None:
    case = CASES[name]
    assert outcome(case, moto) == case.expected("moto")
