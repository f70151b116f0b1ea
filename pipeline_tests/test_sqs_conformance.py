"""One suite for the embedded queue and for moto: both do what SQS does, or the case says how not.

A known deviation of moto is asserted too, so that the suite says when moto loses it.
"""

import contextlib
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws
from mypy_boto3_sqs import SQSClient

from pipeline_tests import sqs_message_cases, sqs_queue_cases
from pipeline_tests.queue_fixtures import client_for

URL = "https://sqs.us-east-1.amazonaws.com"
"""Which moto answers before any call gets out."""

CASES = sqs_queue_cases.CASES | sqs_message_cases.CASES


@pytest.fixture
def moto_sqs(aws_session: boto3.Session) -> Iterator[SQSClient]:
    """A client whose calls moto answers inside this process, on empty queues."""
    with mock_aws(), contextlib.closing(client_for(URL, aws_session)) as client:
        yield client


@pytest.mark.parametrize("name", CASES)
def test_the_embedded_queue_does_what_sqs_does(sqs: SQSClient, name: str) -> None:
    assert CASES[name].dialogue(sqs) == CASES[name].sqs


@pytest.mark.parametrize("name", CASES)
def test_moto_does_what_sqs_does_or_deviates_as_known(moto_sqs: SQSClient, name: str) -> None:
    assert CASES[name].dialogue(moto_sqs) == CASES[name].moto
