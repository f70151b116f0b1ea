"""What `pipeline_tests` has, and one instance for all tests."""

from collections.abc import Iterator

import boto3
import pytest

from deploy.instance.tests.stage import Stage, deployed
from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.postgres_fixtures import postgres_server, warehouse_url
from pipeline_tests.queue_fixtures import aws_session, clock
from pipeline_tests.world_fixtures import observed_queue, world

__all__ = ["aws_session", "clock", "observed_queue", "postgres_server", "warehouse_url", "world"]


@pytest.fixture(scope="session")
def instance(
    postgres_server: EmbeddedPostgres,
    aws_session: boto3.Session,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stage]:
    """Its processes are started by the first test, and again by those that kill one."""
    with deployed(postgres_server, aws_session, tmp_path_factory.mktemp("instance")) as stage:
        yield stage


@pytest.fixture
def stage(instance: Stage) -> Stage:
    """The instance, with all its processes."""
    instance.start()
    return instance
