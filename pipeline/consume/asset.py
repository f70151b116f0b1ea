"""A feed as Dagster shows it: an asset made of its ops, its job, its sensor and its checks."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import dagster as dg

from pipeline import log_ids, log_lines
from pipeline.consume import further, stages, totals
from pipeline.consume.checks import checks
from pipeline.consume.metadata import column_schema, metadata
from pipeline.consume.ports import Traces
from pipeline.consume.postgres_warehouse import PostgresWarehouse
from pipeline.consume.sensor import depth_sensor, limited
from pipeline.consume.settled import Settled
from pipeline.consume.stages import InHand
from pipeline.contract import Feed
from pipeline.crash_points import CrashPoint, reach
from pipeline.errors import PipelineError, values_kept_out
from pipeline.resources import postgres
from pipeline.resources.outside_resource import OutsideResource
from pipeline.tracing.setting import find_tracing
from pipeline.warehouse.log_settings import find_risks

_HOLDS: Final = "pipeline/holds"
"""The tag of runs that hold messages: `dagster.yaml` limits how many there are at a time."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A batch that is settled and acknowledged, and what became of it."""

    hand: InHand
    settled: Settled


def ingest(feed: Feed) -> dg.Definitions:
    """Everything that one feed needs in Dagster, made from its contract."""
    asset = _asset(feed)
    job = dg.define_asset_job(
        f"ingest_{feed.name}",
        # The asset's checks come along.
        selection=dg.AssetSelection.assets(asset.key),
        tags={_HOLDS: "a batch"},
        description=f"Moves {feed.name}, batch after batch, from {feed.queue} to {feed.table}.",
    )
    return dg.Definitions(
        assets=[asset],
        asset_checks=checks(feed, asset.key),
        jobs=[job],
        sensors=[depth_sensor(feed, job_name=job.name)],
    )


def _asset(feed: Feed) -> dg.AssetsDefinition:
    extract, masked, load = _extract(feed), _mask(feed), _load(feed)
    acknowledge, repeat = _ack(feed), _repeat(feed)
    enriched = None if feed.enrichment is None else _enrich(feed)

    @dg.graph_asset(
        name=feed.name,
        description=feed.description,
        group_name="feeds",
        kinds={"sqs", "pandas", "postgres"},
        metadata={
            "dagster/column_schema": column_schema(feed),
            "dagster/table_name": ".".join(feed.schema_and_table),
            "queue": feed.queue,
        },
    )
    def the_asset() -> dg.MaterializeResult[None]:
        extracted = extract() if enriched is None else enriched(extract())
        result: dg.MaterializeResult[None] = repeat(acknowledge(load(masked(extracted))))
        return result

    return the_asset


def _extract(feed: Feed) -> dg.OpDefinition:
    @dg.op(name=f"extract_{feed.name}", description="Receives a batch, decodes and validates it.")
    def extract(context: dg.OpExecutionContext, outside: OutsideResource) -> InHand:
        with (
            _failure_counted(feed, outside),
            _ids(context, feed),
            values_kept_out(feed=feed.name, stage="extract"),
        ):
            world = outside.reach()
            _warn_of_log(context, feed, world.postgres_url)
            warehouse = PostgresWarehouse(feed, world.postgres_url, world.keyring)
        tracing = find_tracing()
        ports = stages.Ports(
            warehouse,
            # One queue for all batches: it keeps its connections.
            functools.cache(lambda: world.queue_for_a_run(feed)),
            traces=None if tracing is None else tracing.batches(feed, context.run_id),
        )
        with _failure_counted(feed, outside), _ids(context, feed, traces=ports.traces):
            hand = stages.extract(limited(feed, context.run.tags), ports)
        with _ids(context, feed, hand):
            _tell_received(context, hand)
        return hand

    return extract


def _tell_received(context: dg.OpExecutionContext, hand: InHand) -> None:
    batch = hand.batch
    if hand.suspects:
        context.log.warning(
            "%d messages were delivered often and never settled: they are settled apart, last",
            len(hand.suspects),
        )
    context.log.info(
        "received %d: %d rows, %d rejects, %d duplicates",
        batch.received,
        len(batch.entries),
        len(batch.rejects),
        batch.duplicates,
    )


@contextmanager
def _ids(
    context: dg.OpExecutionContext,
    feed: Feed,
    hand: InHand | None = None,
    traces: Traces | None = None,
) -> Iterator[None]:
    """The ids of the lines that an op writes; where it fails, what there is of traces is sent."""
    of_hand = {} if hand is None else hand.ids
    traces = traces if hand is None else hand.ports.traces
    with log_lines.of_op(context.log, feed=feed.name, run_id=context.run_id, **of_hand):
        try:
            yield
        except BaseException:
            if traces is not None:
                traces.flush()
            raise


def _warn_of_log(context: dg.OpExecutionContext, feed: Feed, url: str) -> None:
    with postgres.translated(feed=feed.name), postgres.connect(url) as connection:
        risks = find_risks(connection)
    if risks:
        context.log.warning(
            "Postgres's log may keep rows and values (docs/privacy.md, Logs): %s", "; ".join(risks)
        )


def _enrich(feed: Feed) -> dg.OpDefinition:
    @dg.op(name=f"enrich_{feed.name}", description="Calls the feed's enrichment for each record.")
    def enriched(context: dg.OpExecutionContext, hand: InHand, outside: OutsideResource) -> InHand:
        with _failure_counted(feed, outside), _ids(context, feed, hand):
            hand = stages.enrich(hand)
            _tell_enriched(context, hand)
        return hand

    return enriched


def _tell_enriched(context: dg.OpExecutionContext, hand: InHand) -> None:
    assert hand.outcome is not None  # noqa: S101 - the stage has set it
    outcome = hand.outcome
    context.log.info("enriched %d records in %d calls", len(outcome.rows), outcome.attempts)
    if outcome.failures or hand.batch.released:
        context.log.warning(
            "failed %d: %s; released %d",
            len(outcome.failures),
            outcome.causes,
            hand.batch.released,
        )


def _mask(feed: Feed) -> dg.OpDefinition:
    @dg.op(name=f"mask_{feed.name}", description="Masks each column by its policy.")
    def masked(context: dg.OpExecutionContext, hand: InHand, outside: OutsideResource) -> InHand:
        with _failure_counted(feed, outside), _ids(context, feed, hand):
            return stages.mask(hand)

    return masked


def _load(feed: Feed) -> dg.OpDefinition:
    @dg.op(
        name=f"load_{feed.name}",
        description="Settles the batch in one transaction: rows, ledger, quarantine, account.",
    )
    def load(context: dg.OpExecutionContext, hand: InHand, outside: OutsideResource) -> InHand:
        with _failure_counted(feed, outside), _ids(context, feed, hand):
            hand = stages.load(hand, context.run_id)
            context.log.info("committed: %s", hand.account)
        return hand

    return load


def _ack(feed: Feed) -> dg.OpDefinition:
    @dg.op(
        name=f"acknowledge_{feed.name}",
        description="Deletes the batch from the queue, now that it is committed.",
    )
    def acknowledge(
        context: dg.OpExecutionContext, hand: InHand, outside: OutsideResource
    ) -> Finished:
        with _failure_counted(feed, outside), _ids(context, feed, hand):
            finished = Finished(hand, further.finish(hand, context.run_id))
            if hand.suspects:
                context.log.info("settled apart: %s", finished.settled.apart)
            _warn_of_kept(context, finished.settled)
        return finished

    return acknowledge


def _repeat(feed: Feed) -> dg.OpDefinition:
    @dg.op(
        name=f"repeat_{feed.name}",
        description="Settles batch after batch in the same way, while messages wait and the run"
        " has time.",
    )
    def repeat(
        context: dg.OpExecutionContext, finished: Finished, outside: OutsideResource
    ) -> dg.MaterializeResult[None]:
        total, ports = finished.settled, finished.hand.ports
        with _failure_counted(feed, outside), _ids(context, feed, traces=ports.traces):
            for settled in further.go_on(finished.hand, total, context.run_id):
                total += settled
                with log_ids.bound(batch=settled.batch_id):
                    context.log.info(
                        "batch %d: %s; in all %s", total.batches, settled.account, total.account
                    )
                    _warn_of_kept(context, settled)
        if ports.traces is not None:
            ports.traces.flush()
        seconds = ports.clock.monotonic() - finished.hand.began
        oldest = max(total.ages, default=0.0)
        url = outside.reach().postgres_url
        totals.add_success(feed, url, seconds=total.seconds, oldest=oldest)
        result: dg.MaterializeResult[None] = dg.MaterializeResult(
            metadata=metadata(feed, total, seconds)
        )
        reach(CrashPoint.BEFORE_SUCCESS)
        return result

    return repeat


@contextmanager
def _failure_counted(feed: Feed, outside: OutsideResource) -> Iterator[None]:
    """Adds a run that fails here to the totals.

    Not a hook of Dagster's, which would leave an event in its storage for each op that goes well.
    """
    try:
        yield
    except Exception as error:
        with suppress(PipelineError):  # it may be what has failed
            totals.add_failure(feed, outside.reach().postgres_url, error)
        raise


def _warn_of_kept(context: dg.OpExecutionContext, settled: Settled) -> None:
    if settled.kept:
        context.log.warning("SQS kept %d messages; their redelivery will be harmless", settled.kept)
