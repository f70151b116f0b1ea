"""All start-up checks in one go: each part by itself, so that one outage hides no other finding."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.contract import Feed
from pipeline.errors import PipelineError, QueueError, SettingsError
from pipeline.operate.retention.settings import read_retention
from pipeline.operate.start_up.alerts import check_alerts
from pipeline.operate.start_up.clocks import check_clock
from pipeline.operate.start_up.finding import Finding, unavailable
from pipeline.operate.start_up.queues import (
    check_dead_letters,
    check_environment_tag,
    check_ledger,
    check_queue,
)
from pipeline.operate.start_up.warehouse import check_trust, check_warehouse
from pipeline.resources.outside import Outside
from pipeline.resources.queue_facts import QueueFacts, read_environment, read_facts

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def check(
    environment: Mapping[str, str], outside: Outside, feeds: Sequence[Feed]
) -> Iterator[Finding]:
    """Everything that is not as it should be; changes nothing, and receives nothing.

    Args:
        environment: The settings of this process.
        outside: What they lead to.
        feeds: All feeds.
    """
    yield from check_trust(outside)
    try:
        yield from check_warehouse(outside, feeds)
    except PipelineError as error:
        yield unavailable("warehouse", error)
    yield from check_alerts(environment, embedded=outside.endpoint.embedded)
    ledger_days = None
    try:
        ledger_days = read_retention(environment).ledger_days
    except SettingsError as error:
        yield unavailable("settings", error)
    if outside.endpoint.embedded:
        return  # its queues are made by this code, when they are first asked for
    try:
        client = outside.look_client()
    except PipelineError as error:
        yield unavailable("settings", error)
        return
    skews: list[float | None] = []
    for feed in feeds:
        try:
            source = read_facts(client, feed, feed.queue)
            skews.append(source.skew)
            yield from _check_feed(client, outside, feed, source, ledger_days)
        except PipelineError as error:
            yield unavailable(f"queue {feed.queue}", error)
    yield from check_clock("SQS", skews[0] if skews else None)


def _check_feed(
    client: "SQSClient", outside: Outside, feed: Feed, source: QueueFacts, ledger_days: int | None
) -> Iterator[Finding]:
    letters = None
    try:
        letters = read_facts(client, feed, source.dead_letters) if source.dead_letters else None
    except QueueError as error:
        where = f"dead-letter queue {source.dead_letters}"
        yield Finding(
            "error",
            where,
            f"{error.code}: {error.what}",
            f"{error.remedy}; or correct the redrive policy of {source.name}",
        )
    yield from check_ledger(source, letters, ledger_days)
    yield from check_queue(feed, source)
    if letters is not None:
        yield from check_dead_letters(feed, source, letters)
    try:
        tagged = read_environment(client, feed, source.url)
    except QueueError as error:  # the right to list tags is asked for by nothing else
        if outside.environment is not None:
            yield unavailable(f"queue {feed.queue}", error)
        return
    yield from check_environment_tag(source, tagged, outside.environment)
