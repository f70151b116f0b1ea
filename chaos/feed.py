"""The feeds that chaos drives: copies of one of the project's, with limits for many small runs."""

from dataclasses import replace
from typing import Final

from pipeline import feeds
from pipeline.contract import Feed, Limits

DEAD_LETTERS: Final = "-dead-letter"
"""What follows the name of the queue in that of its dead-letter queue."""

FEED: Final = "user_logins"
"""The feed that is copied. It is driven itself: the REST service and the commands know it."""

BATCH: Final = 1_500
"""Messages of a batch, at most."""

_COPIES: Final = ("_b", "_c")

# Runs that were killed count as under way until the monitoring ends them: there is room for others
# beside them, and a batch is so small that a backlog asks for them. A message is hidden for seconds
# only, so that a run which is stopped for a while finds on waking that others have its messages.
_LIMITS: Final = Limits(
    batch_messages=BATCH,
    receive_seconds=10.0,
    run_messages=6 * BATCH,
    run_seconds=8.0,
    receivers=3,
    visibility_seconds=12,
    hold_seconds=40,
    linger_seconds=12.0,
    linger_messages=600,
    max_runs=4,
    run_age_seconds=50.0,
)


def chaos_feeds() -> tuple[Feed, ...]:
    """Logins three times over, each with a queue, a table and a sensor of its own.

    After a run that failed a feed pauses. Three of them seldom do so at the same time.
    """
    first = replace(feeds.find(FEED), limits=_LIMITS)
    return first, *(
        replace(
            first,
            name=f"{first.name}{end}",
            queue=f"{first.queue}{end}",
            table=f"{first.table}{end}",
        )
        for end in _COPIES
    )
