"""The feed that the machines drain: one of the project's, with limits that suit minutes."""

from dataclasses import replace
from typing import Final

from chaos.feed import FEED
from pipeline import feeds
from pipeline.contract import Feed, Limits

VISIBILITY_SECONDS: Final = 10
"""How long a message is hidden: a machine that is cut off for longer finds others have its own."""

# Two receivers, so that a worker waits for the queue as it does where each answer takes 20 ms, and
# not for a core: with more of them one worker alone fills two cores.
LIMITS: Final = Limits(
    batch_messages=1_000,
    receive_seconds=5.0,
    run_messages=5_000,
    run_seconds=10.0,
    receivers=2,
    visibility_seconds=VISIBILITY_SECONDS,
    hold_seconds=40,
    linger_seconds=1.0,
    linger_messages=100,
    max_runs=8,
    run_age_seconds=60.0,
)


def machines_feed() -> Feed:
    """The feed: chaos's witness knows it as well, by its queue."""
    return replace(feeds.find(FEED), limits=LIMITS)
