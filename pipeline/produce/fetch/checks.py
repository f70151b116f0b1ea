"""The checks of a source's asset: no record failed, and each of the list's is in the ledger."""

import os
from collections.abc import Callable

import dagster as dg

from pipeline.errors import PipelineError, values_kept_out
from pipeline.produce.fetch.partitions import plan_of, records_key, unfetched
from pipeline.produce.fetch.reach import Reach
from pipeline.produce.fetch.report import Standing, read_standing
from pipeline.resources.outside_resource import OutsideResource
from pipeline.scrubbing import scrub
from pipeline.source import Source

_NONE_FAILED = "no_record_failed"
_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("item", "string", description="Its address at the source"),
        dg.TableColumn("attempts", "int", description="How often it was asked for"),
        dg.TableColumn("reason", "string", description="Why it failed, as a code"),
        dg.TableColumn("failed_at", "string", description="When it was given up"),
    ]
)


def checks(source: Source) -> list[dg.AssetChecksDefinition]:
    """The checks that run with every range."""
    return [_failed_check(source), _complete_check(source)]


def _failed_check(source: Source) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=records_key(source),
        name=_NONE_FAILED,
        description=f"no record is given up; `retry_{source.name}` tries those that are",
    )
    def no_record_failed(outside: OutsideResource) -> dg.AssetCheckResult:
        return _look(source, outside, lambda standing: _none_failed(source, standing))

    return no_record_failed


def _none_failed(source: Source, standing: Standing) -> dg.AssetCheckResult:
    """Warns of records that failed: all others are sent all the same."""
    failed = standing.counts.failed
    told = f"{failed} failed; the job `retry_{source.name}` tries them again"
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        description=told if failed else None,
        metadata={"failed": failed, "failed records": failed_records(standing)},
    )


def none_failed(source: Source, standing: Standing) -> dg.AssetCheckEvaluation:
    """What the check says, for those who changed it outside a run of the asset."""
    result = _none_failed(source, standing)
    return dg.AssetCheckEvaluation(
        asset_key=records_key(source),
        check_name=_NONE_FAILED,
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )


def failed_records(standing: Standing) -> dg.TableMetadataValue:
    """The latest records that failed, as a table; what looks personal in an address is scrubbed."""
    records = [
        dg.TableRecord(
            {
                "item": scrub(each.item),
                "attempts": each.attempts,
                "reason": each.reason,
                "failed_at": each.failed_at.isoformat(timespec="seconds"),
            }
        )
        for each in standing.failures
    ]
    return dg.MetadataValue.table(records, schema=_COLUMNS)


def _complete_check(source: Source) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=records_key(source),
        name="every_record_is_there",
        description="the ledger knows as many records as the list had when it was planned",
    )
    def every_record_is_there(
        context: dg.AssetCheckExecutionContext, outside: OutsideResource
    ) -> dg.AssetCheckResult:
        plan = plan_of(context.instance, source)
        left = len(unfetched(context.instance, source, plan)) if plan else 0
        count = plan.count if plan else 0
        return _look(source, outside, lambda standing: _complete(standing, count, left))

    return every_record_is_there


def _complete(standing: Standing, count: int, left: int) -> dg.AssetCheckResult:
    """Warns while ranges are still to be fetched; fails where none is and records are missing."""
    there = standing.counts.there + standing.still_listed
    return dg.AssetCheckResult(
        passed=there >= count,
        severity=dg.AssetCheckSeverity.WARN if left else dg.AssetCheckSeverity.ERROR,
        description=None
        if there >= count
        else f"{there} of {count} so far; ranges still to be fetched: {left}"
        if left
        else f"{there} of {count}: the list has changed since; plan again",
        metadata={"in the list": count, "in the ledger": there, "ranges to be fetched": left},
    )


def _look(
    source: Source, outside: OutsideResource, look: Callable[[Standing], dg.AssetCheckResult]
) -> dg.AssetCheckResult:
    """What a check finds; or a warning that says why it could not look.

    What was fetched is sent and noted by now: a check that cannot look must not fail the run.
    """
    try:
        with values_kept_out(feed=source.feed, stage="check"):
            return look(read_standing(Reach.of(outside.reach(), source, os.environ), source))
    except PipelineError as error:
        return dg.AssetCheckResult(
            passed=False, severity=dg.AssetCheckSeverity.WARN, description=f"not checked: {error}"
        )
