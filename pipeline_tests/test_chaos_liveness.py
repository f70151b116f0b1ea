"""A code server that answers nobody any more is told apart from one that is slow."""

from unittest.mock import Mock

import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError

from chaos.liveness import PATIENCE, Liveness


class Server:
    """A code server, and the time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.ping = Mock()
        self.liveness = Liveness(self.ping, lambda: self.now)

    def wait(self, seconds: float) -> bool:
        """Asks once, after a while; whether it counts as hanging then."""
        self.now += seconds
        self.liveness.listen()
        return self.liveness.is_silent()


@pytest.fixture
def server() -> Server:
    """One that answers."""
    return Server()


def test_one_that_answers_is_left_alone(server: Server) -> None:
    assert not any(server.wait(PATIENCE) for _ in range(3))


def test_one_that_does_not_is_silent_once_patience_is_over(server: Server) -> None:
    server.ping.side_effect = DagsterUserCodeUnreachableError
    assert not server.wait(PATIENCE)
    assert server.wait(1.0)
    server.liveness.begin_anew()
    assert not server.wait(PATIENCE)


def test_an_answer_after_a_long_time_is_one(server: Server) -> None:
    server.ping.side_effect = [DagsterUserCodeUnreachableError, None]
    assert not server.wait(PATIENCE)
    assert not server.wait(1.0)


def test_one_that_never_ends_its_answer_is_silent(server: Server) -> None:
    """A thread asks, and waits for as long; whoever looks does not."""
    server.now += PATIENCE + 1.0
    assert server.liveness.is_silent()
