"""Runs that last for hours leave a place to batches, whatever of them goes on at the same time."""

from pathlib import Path
from typing import Final

import dagster as dg

from pipeline.definitions import defs

CHECKOUT: Final = Path(__file__).parents[1]
AN_HOUR: Final = 3_600


def jobs() -> list[dg.JobDefinition]:
    """Those that are deployed."""
    return [job for job in defs().resolve_all_job_defs() if not job.name.startswith("__")]


def pools(job: dg.JobDefinition) -> set[str]:
    """The pools of a job's ops."""
    return {pool for node in job.nodes for pool in node.definition.pools}


def test_whatever_may_last_for_more_than_an_hour_is_in_a_pool_and_behind_batches() -> None:
    long = {
        job.name: job for job in jobs() if int(job.tags.get("dagster/max_runtime", 0)) > AN_HOUR
    }
    assert {"retention", "redrive_user_logins", "redrive_dead_letters_user_logins"} < long.keys()
    assert {name for name, job in long.items() if len(pools(job)) != 1} == set()
    assert {job.tags["dagster/priority"] for job in long.values()} == {"-1"}


def test_one_run_of_each_pool_leaves_a_place_and_batches_have_two_at_most(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_bytes((CHECKOUT / "dagster.yaml").read_bytes())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        config = instance.get_concurrency_config()
    assert config.pool_config.default_pool_limit == 1
    runs, deployed = config.run_queue_config, jobs()
    assert runs is not None
    assert len(set().union(*map(pools, deployed))) < runs.max_concurrent_runs
    (limited,) = runs.tag_concurrency_limits
    assert limited["limit"] == 2
    tagged = {job.name for job in deployed if limited["key"] in job.tags}
    assert tagged == {job.name for job in deployed if job.name.startswith("ingest_")}
