"""Fixtures: an API that misbehaves as it is told, and a case of fetching from it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mypy_boto3_sqs import SQSClient

from pipeline_tests.fetch_case import Case, case_at
from pipeline_tests.samples import outside
from pipeline_tests.upstream import Server, Upstream, serving

MakeCase = Callable[[Upstream], Case]


@pytest.fixture(scope="session")
def api_server() -> Iterator[Server]:
    """One server for all tests; each gives it an API of its own."""
    with serving() as server:
        yield server


@pytest.fixture
def case_of(
    api_server: Server, queue_endpoint: str, sqs: SQSClient, warehouse_url: str, tmp_path: Path
) -> Iterator[MakeCase]:
    """Makes a case of an API, with an empty queue and an empty warehouse."""
    world = outside(queue_endpoint, warehouse_url, tmp_path)
    yield lambda api: case_at(api_server, world, sqs, api)
    api_server.api = Upstream()
