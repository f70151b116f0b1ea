"""What `benchmarks.warm` runs: all that is deployed, and a job of which nothing is asked."""

import dagster as dg

import pipeline.definitions


@dg.op
def nothing() -> None:
    """Does so."""


@dg.job(executor_def=dg.in_process_executor)
def idle() -> None:
    """The least that a run can be."""
    nothing()


@dg.definitions
def defs() -> dg.Definitions:
    """Everything in one code location."""
    return dg.Definitions.merge(pipeline.definitions.defs(), dg.Definitions(jobs=[idle]))
