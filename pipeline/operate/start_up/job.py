"""The start-up checks in Dagster: run whenever a code server starts, and once a day."""

import os
import time
import uuid
from collections.abc import Sequence
from functools import cache
from typing import Final

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType

from pipeline.contract import Feed
from pipeline.errors import values_kept_out
from pipeline.operate.start_up.check import check
from pipeline.operate.start_up.finding import Finding
from pipeline.operate.start_up.runs import Monitoring, check_monitoring
from pipeline.resources.outside_resource import OutsideResource

CHECK: Final = "set_up_soundly"
_ASSET: Final = "start_up"
_JOB: Final = "check_start_up"
_INTERVAL_SECONDS: Final = 60
_DAY: Final = 86_400.0
_SOONEST: Final = 600.0  # seconds: several code servers may share one sensor, and take turns


def start_up(feeds: Sequence[Feed]) -> dg.Definitions:
    """The asset that holds the findings, its check, its job, and the sensor that asks for it."""

    @dg.asset(
        name=_ASSET,
        group_name="operations",
        description="What is set so that it will go wrong later: queues, warehouse, keyring,"
        " clocks, limits of runs. `pipeline check` tells the same on the command line.",
        check_specs=[
            dg.AssetCheckSpec(CHECK, asset=_ASSET, description="nothing was found to be amiss")
        ],
    )
    def the_asset(
        context: dg.AssetExecutionContext, outside: OutsideResource
    ) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster knows it bare
        with values_kept_out(stage="start-up checks"):
            findings = [
                *check(os.environ, outside.reach(), feeds),
                *check_monitoring(feeds, monitoring_of(context.instance)),
            ]
        errors = sum(each.level == "error" for each in findings)
        return dg.MaterializeResult(
            metadata={
                "errors": errors,
                "warnings": len(findings) - errors,
                "findings": dg.MetadataValue.md(_table(findings)),
            },
            check_results=[_verdict(findings)],
        )

    job = dg.define_asset_job(
        _JOB,
        selection=dg.AssetSelection.assets(_ASSET),
        description="Looks at what is set around the pipeline; changes nothing.",
    )
    return dg.Definitions(assets=[the_asset], jobs=[job], sensors=[_sensor(job.name)])


def monitoring_of(instance: dg.DagsterInstance) -> Monitoring:
    """What an instance does about runs that hang, and about ticks that are old."""
    return Monitoring(
        enabled=instance.run_monitoring_enabled,
        longest=float(instance.run_monitoring_max_runtime_seconds or 0),
        resumes=instance.run_monitoring_max_resume_run_attempts,
        ticks_end=all(
            days > 0
            for kind in (InstigatorType.SENSOR, InstigatorType.SCHEDULE)
            for days in instance.get_tick_retention_settings(kind).values()
        ),
    )


def _table(findings: Sequence[Finding]) -> str:
    if not findings:
        return "Nothing is amiss."
    lines = [f"| {each.level} | {each.where} | {each.what} | {each.remedy} |" for each in findings]
    return "\n".join(["| | where | what | what to do |", "| --- | --- | --- | --- |", *lines])


def _verdict(findings: Sequence[Finding]) -> dg.AssetCheckResult:
    errors = [each for each in findings if each.level == "error"]
    return dg.AssetCheckResult(
        check_name=CHECK,
        passed=not findings,
        severity=dg.AssetCheckSeverity.ERROR if errors else dg.AssetCheckSeverity.WARN,
        description="; ".join(map(str, errors or findings)) or None,
    )


def _sensor(job_name: str) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{_ASSET}_sensor",
        job_name=job_name,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Asks for the start-up checks once a code server has started, and once a day.",
    )
    def started(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        process, _, at = (context.cursor or "- 0").partition(" ")
        now = time.time()
        if 0 <= now - float(at) < (_DAY if process == _this_process() else _SOONEST):
            return dg.SensorResult(skip_reason="looked at a while ago", cursor=context.cursor)
        return dg.SensorResult(run_requests=[dg.RunRequest()], cursor=f"{_this_process()} {now}")

    return started


@cache
def _this_process() -> str:
    """Tells one start of the code server from another."""
    return uuid.uuid4().hex
