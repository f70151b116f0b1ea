"""The feed that chaos drives: the project's own, with limits for many small runs."""

from dataclasses import replace
from typing import Final

from pipeline import feeds
from pipeline.contract import Feed, Limits

DEAD_LETTERS: Final = "-dead-letter"
"""What follows the name of the queue in that of its dead-letter queue."""

# Runs that were killed count as under way until they reach the age limit: of five places two or
# three are theirs. A message is hidden for seconds only, so that a run which is stopped for a
# while finds on waking that others have its messages.
_LIMITS: Final = Limits(
    batch_messages=5_000,
    receive_seconds=12.0,
    receivers=4,
    visibility_seconds=12,
    hold_seconds=40,
    linger_seconds=5.0,
    linger_messages=1_000,
    max_runs=5,
    run_age_seconds=55.0,
)


def chaos_feed() -> Feed:
    """The logins of `pipeline/feeds/user_logins.py`, with the limits of chaos."""
    return replace(feeds.find("user_logins"), limits=_LIMITS)
