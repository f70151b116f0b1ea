"""Looks at a queue's depth keep what they have found for a while, and no longer than it is good."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import boto3
import pytest

from pipeline.errors import CredentialsExpired
from pipeline.resources.outside import Outside
from pipeline.resources.sqs import Depth
from pipeline_tests.dead_letter_case import bury, lead_to_letters, logins
from pipeline_tests.expiring_queue import expiring
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import World

LOOKS: Final[dict[str, Callable[[Outside], Depth | None]]] = {
    "queue": lambda there: there.depth(USER_LOGINS),
    "dead letters": lambda there: there.dead_letter_depth(USER_LOGINS),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_credentials_that_are_renewed_in_their_file_are_taken_up(
    look: Callable[[Outside], Depth | None],
    tmp_path: Path,
    aws_session: boto3.Session,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fault 21: boto3 reads a file without an expiry once, and a sensor lives for months."""
    with expiring(tmp_path, aws_session, monkeypatch) as world:
        world.write("OLD")
        there = Outside.of(world.environment)
        assert look(there) == Depth(0, 0, 0)
        world.expire("OLD")
        for _ in range(2):
            with pytest.raises(CredentialsExpired, match="ExpiredToken"):
                look(there)
        world.write("NEW")
        assert look(there) == Depth(0, 0, 0)


def test_a_redrive_policy_that_leads_elsewhere_is_noticed_in_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick asks once; so it may look at the queue of before, but not for ever."""
    moment = [0.0]
    monkeypatch.setattr("pipeline.resources.kept.monotonic", lambda: moment[0])
    look, there = LOOKS["dead letters"], Outside.of(world.environment)
    bury(world, logins(3))
    assert look(there) == Depth(3, 0, 0)
    elsewhere = world.sqs.create_queue(QueueName="elsewhere")["QueueUrl"]
    lead_to_letters(world, world.queue_url, elsewhere)
    asked = world.app.calls["GetQueueAttributes"]
    moment[0] += 599
    assert look(there) == Depth(3, 0, 0)
    assert world.app.calls["GetQueueAttributes"] == asked + 1
    moment[0] += 1
    assert look(there) == Depth(0, 0, 0)
