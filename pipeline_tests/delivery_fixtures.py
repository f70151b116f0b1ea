"""Fixtures: a queue that misbehaves, a warehouse, and the consumer's core between them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.postgres_fixtures import database

if TYPE_CHECKING:
    from pipeline_tests.delivery_case import Delivery


@pytest.fixture(scope="session")
def deliveries(
    postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Callable[[int], Delivery]]":
    """What begins each test anew, with room for so many messages in flight."""
    # Late: a test that asks for none of this does not wait for the core.
    from pipeline_tests import delivery_case  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("delivery")
    with database(postgres_server) as url, delivery_case.deliveries(url, folder) as anew:
        yield anew


@pytest.fixture
def way(deliveries: "Callable[[int], Delivery]") -> "Delivery":
    """An empty queue that can be told to misbehave, and an empty warehouse."""
    return deliveries(120_000)
