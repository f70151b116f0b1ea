"""What the tests share: one Dagster, and one gateway before it."""

from collections.abc import Iterator

import pytest

from tests.dagster_servers import Dagster, dagster_servers
from tests.front import Front, web_gateway


@pytest.fixture(scope="session")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dagster]:
    """The servers behind the gateway."""
    with dagster_servers(tmp_path_factory.mktemp("dagster")) as servers:
        yield servers


@pytest.fixture(scope="session")
def front(dagster: Dagster) -> Iterator[Front]:
    """A gateway with passwords; its rate is out of the way."""
    with web_gateway(dagster.web, dagster.viewer, rate="1000r/s", burst="4000") as front:
        yield front
