"""Runs of the ingest job, launched as the daemon launches what it takes off its queue."""

from typing import Final

import dagster as dg
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.events import DagsterEvent, DagsterEventType
from dagster._core.origin import (
    DEFAULT_DAGSTER_ENTRY_POINT,
    JobPythonOrigin,
    RepositoryPythonOrigin,
)
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget

from pipeline.definitions import defs
from pipeline_tests.test_sensor import ORIGIN
from pipeline_tests.world import JOB

IMAGE: Final = "registry.example/sqs-postgres-pipeline:0.1.0"
SECRETS: Final = {
    "PIPELINE_POSTGRES_URL": "postgresql://pipeline:the-warehouses-password@db.test/warehouse",
    "PIPELINE_CUSTODIAN_URL": "postgresql://custodian:the-custodians-password@db.test/warehouse",
}
"""What the daemon's own environment may hold, and no run may be told in the clear."""

_CODE: Final = RepositoryPythonOrigin(  # as a code server in the image tells it
    "/usr/local/bin/python",
    ModuleCodePointer("pipeline.definitions", "defs"),
    container_image=IMAGE,
    entry_point=DEFAULT_DAGSTER_ENTRY_POINT,
)


def launch(instance: dg.DagsterInstance) -> dg.DagsterRun:
    """A new run, which the instance's launcher has been asked to start."""
    job = defs().resolve_job_def(JOB)
    run = instance.create_run_for_job(
        job_def=job,
        status=dg.DagsterRunStatus.NOT_STARTED,
        job_code_origin=JobPythonOrigin(JOB, _CODE),
        remote_job_origin=ORIGIN,
        tags=job.tags,
    )
    # A launcher goes by what the run says of its code, not by the workspace.
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        instance.launch_run(run.run_id, workspace.create_request_context())
    return again(instance, run)


def begin(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """The run says that it has begun, as a task or pod does after its cold start."""
    event = DagsterEvent(DagsterEventType.RUN_START.value, run.job_name)
    instance.report_dagster_event(event, run.run_id)
    return again(instance, run)


def again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """The run as it is stored now."""
    stored = instance.get_run_by_id(run.run_id)
    assert stored is not None
    return stored
