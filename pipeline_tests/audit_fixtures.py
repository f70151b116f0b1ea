"""Fixtures: a warehouse whose vault holds something, and a custodian who is connected to it."""

from collections.abc import Iterator

import psycopg
import pytest

from pipeline.feeds.user_logins import FEED
from pipeline.warehouse.migrate import migrate
from pipeline_tests.audit_case import custodian, fill


@pytest.fixture
def warehouse(warehouse_url: str) -> str:
    """A warehouse with something in its vault."""
    migrate(warehouse_url, [FEED])
    fill(warehouse_url)
    return warehouse_url


@pytest.fixture
def eve(warehouse: str) -> Iterator[psycopg.Connection]:
    """A custodian's connection."""
    with custodian(warehouse) as connection:
        yield connection
