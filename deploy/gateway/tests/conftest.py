"""What the gateway's tests share: one nginx before one noting service, for those that can."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploy.gateway.tests.nginx import Gateway, gateway
from deploy.gateway.tests.upstream import Upstream, upstream


@dataclass(frozen=True)
class Pair:
    """A gateway and the service behind it."""

    gateway: Gateway
    service: Upstream


@pytest.fixture(scope="session")
def shared() -> Iterator[Pair]:
    """The pair that all tests share: documentation shown, nowhere to write."""
    with (
        upstream() as (service, place),
        gateway(place, documentation="shown", body_limit="1m") as front,
    ):
        front.take_temporary_folders()
        yield Pair(front, service)


@pytest.fixture
def pair(shared: Pair) -> Pair:
    """The shared pair, with nothing noted yet."""
    shared.service.requests.clear()
    return shared
