"""Asks every oracle about a run that has drained, and puts together its report."""

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

_HIDDEN_SECONDS: Final = 120.0  # longer than any message is hidden by a run that has ended


def judge(
    order: Order, stage: Stage, feed: Feed, canaries: Canaries, *, happened: Happened
) -> Report:
    """Ends the processes, so that nothing is written any more, and asks.

    Args:
        order: What was asked for.
        stage: Drained, with Postgres and the queue up.
        feed: What was driven.
        canaries: What was sent.
        happened: What was done.
    """
    for name, process in stage.processes.items():
        if name != "queue":
            process.end()
    queued, dead = (list(_left(stage, feed, f"{feed.queue}{end}")) for end in ("", DEAD_LETTERS))
    stage.processes["queue"].end()
    url = stage.warehouse.url
    stem = canaries.user(0).removesuffix("0")
    logs = sorted(stage.place.accepted.iterdir())
    with psycopg.connect(url) as connection:
        findings = compare(connection, feed, stem, sent=read_logs(logs), waiting=[*queued, *dead])
        connection.rollback()
        connection.autocommit = True
        connection.execute("CHECKPOINT")
    stage.warehouse.keep_log()
    return Report(
        order=order,
        happened=happened,
        findings=findings,
        search=search(stage.place, canaries, url, feed.schema_and_table[1]),
        runs=_runs(stage.place.dagster),
        dead_letters=len(dead),
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
