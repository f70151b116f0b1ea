"""Asks every oracle about a run that has drained, and puts together its report."""

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import dagster as dg
import psycopg

from chaos.accepted import read_logs
from chaos.feed import DEAD_LETTERS
from chaos.identity import Mark, identity_of
from chaos.oracles import compare
from chaos.report import Happened, Order, Report
from chaos.search import search
from chaos.stage import Stage
from pipeline.contract import Feed
from pipeline.resources.sqs import EVENT_ID
from pipeline_tests.canaries import Canaries

_ENDS: Final = ("", DEAD_LETTERS)
_HIDDEN_SECONDS: Final = 120.0  # longer than any message is hidden by a run that has ended


def judge(order: Order, stage: Stage, canaries: Canaries, happened: Happened) -> Report:
    """Ends the processes, so that nothing is written any more, and asks.

    Args:
        order: What was asked for.
        stage: Drained, with Postgres and the queue up.
        canaries: What was sent.
        happened: What was done.
    """
    stage.end_those_who_write()
    left = {feed.name: [list(_left(stage, feed, f"{feed.queue}{end}")) for end in _ENDS]
            for feed in stage.feeds}  # fmt: skip
    stage.processes["queue"].end()
    url = stage.warehouse.url
    stem = canaries.user(0).removesuffix("0")
    with psycopg.connect(url) as connection:
        findings = {}
        for feed in stage.feeds:
            sent = read_logs(sorted(stage.place.accepted.glob(f"{feed.name}.*")))
            waiting = itertools.chain(*left[feed.name])
            findings[feed.name] = compare(connection, feed, stem, sent=sent, waiting=waiting)
            connection.rollback()
        connection.autocommit = True
        connection.execute("CHECKPOINT")
    stage.warehouse.keep_log()
    tables = [feed.schema_and_table[1] for feed in stage.feeds]
    return Report(
        order=order,
        happened=happened,
        findings=findings,
        search=search(stage.place, canaries, url, tables),
        runs=_runs(stage.place.dagster),
        dead_letters=sum(len(dead) for _, dead in left.values()),
    )


def _left(stage: Stage, feed: Feed, queue: str) -> Iterator[Mark]:
    """The marks of what is left on a queue; takes it away.

    What a run had received when it was ended is visible again within its timeout.
    """
    identity = identity_of(feed, stage.keyring.settlement_key(feed.name))
    client = stage.client()
    url = client.get_queue_url(QueueName=queue)["QueueUrl"]
    deadline = time.monotonic() + _HIDDEN_SECONDS
    while stage.depth(queue) and time.monotonic() < deadline:
        answer = client.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            WaitTimeSeconds=1,
            MessageAttributeNames=[EVENT_ID],
        )
        for each in answer.get("Messages", ()):
            client.delete_message(QueueUrl=url, ReceiptHandle=each["ReceiptHandle"])
            event_id = each["MessageAttributes"][EVENT_ID]["StringValue"]
            yield Mark.of(identity, event_id, each["Body"])


def _runs(home: Path) -> dict[str, int]:
    """How many of Dagster's runs have which status."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        return dict(Counter(run.status.value for run in instance.get_runs()))
