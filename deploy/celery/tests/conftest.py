"""The Postgres and the queue that `pipeline_tests` has, and a world with Redis as its broker."""

from collections.abc import Iterator

import boto3
import pytest

from deploy.celery.tests.redis_server import SECRET, Redis, started
from pipeline.local.postgres import EmbeddedPostgres
from pipeline_tests.postgres_fixtures import postgres_server
from pipeline_tests.queue_fixtures import aws_session
from pipeline_tests.warm_case import WarmWorld, warm_world

__all__ = ["aws_session", "postgres_server"]


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A Redis that wants a password."""
    with started(tmp_path_factory.mktemp("redis")) as redis:
        yield redis


@pytest.fixture(scope="session")
def warm(
    redis: Redis,
    postgres_server: EmbeddedPostgres,
    aws_session: boto3.Session,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[WarmWorld]:
    """A world whose runs wait in this Redis."""
    url = f"redis://:{SECRET}@127.0.0.1:{redis.port}/0"
    with warm_world(postgres_server, aws_session, tmp_path_factory.mktemp("warm"), url) as warm:
        yield warm
