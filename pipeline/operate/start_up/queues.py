"""The rules for a feed's queue and its dead-letter queue."""

from collections.abc import Iterator
from typing import Final

from pipeline.contract import Feed
from pipeline.operate.start_up.finding import Finding
from pipeline.resources.queue_facts import TAG, QueueFacts

DELIVERIES: Final = 20
"""How often a message is to be received at least before SQS gives up on it: an outage that begins
in the middle of runs costs one of them at a time."""

_DAY: Final = 86_400
_LONGEST: Final = 14 * _DAY  # the most that SQS allows
_KEEP: Final = "Set MessageRetentionPeriod to 1209600 (14 days)"


def check_queue(feed: Feed, facts: QueueFacts) -> Iterator[Finding]:
    """What is wrong with a feed's own queue."""
    where = f"queue {facts.name}"
    if facts.retention < _LONGEST:  # fault 19
        yield Finding(
            "warning",
            where,
            f"drops messages after {_days(facts.retention)}, when nobody has fetched them",
            _KEEP,
        )
    if facts.dead_letters is None:
        yield Finding(
            "error",
            where,
            "has no redrive policy: what no run survives comes again and again, then is dropped",
            f"Give it a dead-letter queue, with a maxReceiveCount of {DELIVERIES} or more",
        )
    elif facts.deliveries < DELIVERIES:  # fault 16
        yield Finding(
            "error",
            where,
            f"has a maxReceiveCount of {facts.deliveries}: an outage in the middle of runs fills"
            " the dead-letter queue",
            f"Set it to {DELIVERIES} or more",
        )
    yield from _encryption(feed, facts, where)


def check_dead_letters(feed: Feed, source: QueueFacts, letters: QueueFacts) -> Iterator[Finding]:
    """What is wrong with its dead-letter queue, which counts from the first sending (fault 17)."""
    where = f"dead-letter queue {letters.name}"
    if letters.retention < source.retention:
        yield Finding(
            "error",
            where,
            f"drops messages {_days(letters.retention)} after their first sending, and"
            f" {source.name} keeps them for {_days(source.retention)}: some are dropped on arrival",
            _KEEP,
        )
    elif letters.retention < _LONGEST:
        yield Finding(
            "warning",
            where,
            f"drops messages {_days(letters.retention)} after their first sending",
            _KEEP,
        )
    if letters.dead_letters is not None:
        yield Finding(
            "warning",
            where,
            "has a redrive policy of its own: to look at its messages moves them on",
            "Remove it",
        )
    yield from _encryption(feed, letters, where)


def check_ledger(
    source: QueueFacts, letters: QueueFacts | None, ledger_days: int | None
) -> Iterator[Finding]:
    """Whether the ledger remembers for as long as a message may come back (fault 53).

    Args:
        source: The feed's queue.
        letters: Its dead-letter queue; None where it has none, or none that can be looked at.
        ledger_days: For how long the ledger remembers; None where that is set wrongly.
    """
    horizon = source.retention + (letters.retention if letters else 0)
    if ledger_days is not None and ledger_days * _DAY < horizon:
        yield Finding(
            "error",
            f"queue {source.name}",
            f"may deliver a message again for {_days(horizon)}, the ledger remembers"
            f" {ledger_days} days: a late one would be loaded twice",
            f"Set PIPELINE_RETENTION_LEDGER_DAYS to {-(-horizon // _DAY)} or more",
        )


def check_environment_tag(
    facts: QueueFacts, tagged: str | None, environment: str | None
) -> Iterator[Finding]:
    """Whether the queue is this environment's (fault 72)."""
    where = f"queue {facts.name}"
    if environment is not None and tagged not in {None, environment}:
        yield Finding(
            "error",
            where,
            f"is tagged {TAG}={tagged!r}, this is {environment!r}: nothing is received",
            "Correct PIPELINE_ENVIRONMENT, the AWS settings or the tag",
        )
    elif environment is not None and tagged is None:
        yield Finding(
            "warning",
            where,
            f"has no tag {TAG}: another environment may receive from it unnoticed",
            f"Tag it {TAG}={environment}",
        )
    elif environment is None and tagged is not None:
        yield Finding(
            "warning",
            where,
            f"is tagged {TAG}={tagged!r}, and this process does not say which one it is",
            "Set PIPELINE_ENVIRONMENT: a queue of another one is then refused",
        )


def _encryption(feed: Feed, facts: QueueFacts, where: str) -> Iterator[Finding]:
    if not facts.encrypted and any(each.personal for each in feed.fields):
        yield Finding(
            "warning",
            where,
            "keeps personal data unencrypted at rest",
            "Set KmsMasterKeyId, or SqsManagedSseEnabled",
        )


def _days(seconds: int) -> str:
    return f"{seconds / _DAY:g} days"
