"""What is deployed: a snapshot of all of it; it loads anywhere, and importing it does nothing."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest

from pipeline.contract import Feed
from pipeline.definitions import defs
from pipeline.feeds import discover
from pipeline.warehouse.tables import column_types

CHECKOUT: Final = Path(__file__).parents[1]
SNAPSHOT: Final = Path(__file__).with_name("deployed.json")
HOSTILE: Final = {
    # Half a configuration, endpoints where nobody is, folders that cannot be made.
    "AWS_ENDPOINT_URL_SQS": "http://192.0.2.1:9",
    "AWS_PROFILE": "nobody",
    "PIPELINE_KEYRING": "/dev/null/keyring.json",
    "PIPELINE_LOCAL_DIR": "/dev/null/local",
    "PIPELINE_POSTGRES_URL": "not a url",
}
WATCH: Final = """
import logging, resource, sys, threading
import boto3, dagster, pandas, psycopg  # what these do when they are imported is their affair

kinds = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.mkdir")
seen = []
sys.addaudithook(lambda event, _: seen.append(event) if event.startswith(kinds) else None)
import pipeline.definitions
pipeline.definitions.defs()
print(seen, threading.active_count())
print(resource.getrlimit(resource.RLIMIT_CORE), type(logging.getLogRecordFactory()).__module__)
"""
GUARDED: Final = "(0, 0) pipeline.safeguards"


def test_what_is_deployed_is_what_the_snapshot_says() -> None:
    """After a change on purpose: `python -m pipeline_tests.test_definitions` writes it anew."""
    assert json.loads(SNAPSHOT.read_text()) == deployed()


def deployed() -> dict[str, Any]:
    """Everything that Dagster would deploy, in plain words, and the tables that it fills."""
    definitions = defs()
    repository = definitions.get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    return {
        "assets": {
            each.key.to_user_string(): asset(each)
            for each in definitions.assets or ()
            if isinstance(each, dg.AssetsDefinition)
        },
        "checks": sorted(key.to_user_string() for key in repository.asset_graph.asset_check_keys),
        "jobs": {
            job.name: {
                "executor": job.executor_def.name,
                "steps": sorted(node.name for node in job.nodes),
            }
            for job in sorted(jobs, key=lambda job: job.name)
        },
        "resources": {
            name: type(resource).__name__
            for name, resource in sorted((definitions.resources or {}).items())
        },
        "schedules": sorted(each.name for each in repository.schedule_defs),
        "sensors": {
            each.name: {
                "job": each.job_name if each.targets else None,
                "status": each.default_status.value,
                "seconds": each.minimum_interval_seconds,
            }
            for each in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
        },
        "feeds": {each.name: promises(each) for each in discover()},
    }


def asset(definition: dg.AssetsDefinition) -> dict[str, Any]:
    """An asset and the ops that it is made of."""
    return {
        "group": definition.group_names_by_key[definition.key],
        "kinds": sorted(definition.get_asset_spec().kinds),
        "ops": sorted(op.name for op in definition.node_def.iterate_op_defs()),
    }


def promises(feed: Feed) -> dict[str, Any]:
    """A feed's queue, table and limits."""
    types = column_types(feed)
    return {
        "queue": feed.queue,
        "table": ".".join(feed.schema_and_table),
        "key": list(feed.key),
        "columns": {
            each.name: {
                "from": each.path,
                "accepts": repr(each.type),
                "type": types[each.name],
                "policy": each.policy.name,
                "personal": each.personal,
                "nullable": each.nullable,
            }
            for each in feed.fields
        },
        "limits": dataclasses.asdict(feed.limits),
    }


def test_whatever_runs_by_itself_or_is_launched_by_hand_says_what_it_does() -> None:
    repository = defs().get_repository_def()
    jobs = [job for job in repository.get_all_jobs() if not job.name.startswith("__")]
    shown: tuple[Any, ...] = (*jobs, *repository.schedule_defs, *repository.sensor_defs)
    assert {each.name for each in shown if not each.description} == set()


@pytest.mark.parametrize("feed", [feed.name for feed in discover()])
def test_the_launchpad_of_dead_letters_explains_its_defaults(feed: str) -> None:
    """A new run shows the number itself, which looks like a limit and means none."""
    (op,) = defs().resolve_job_def(f"redrive_dead_letters_{feed}").all_node_defs
    assert isinstance(op, dg.OpDefinition)
    schema: Any = op.config_schema.as_field().config_type
    fields: Mapping[str, Any] = schema.fields
    assert all(each.description for each in fields.values())
    assert "the default means all" in fields["most"].description
    assert fields["way"].default_value in fields["way"].description


def test_raw_data_passes_in_memory_within_one_process() -> None:
    definitions = defs()
    resources: Mapping[str, Any] = definitions.resources or {}
    assert resources["io_manager"] is dg.mem_io_manager
    assert definitions.executor is dg.in_process_executor


@pytest.mark.parametrize("feed", [feed.name for feed in discover()])
def test_a_launch_with_another_executor_is_refused(feed: str) -> None:
    """Else raw data would pass between processes, by way of a disk."""
    job = defs().resolve_job_def(f"ingest_{feed}")
    configs: tuple[dict[str, object], ...] = ({"multiprocess": {}}, {"max_concurrent": 4})
    for config in configs:
        with pytest.raises(dg.DagsterInvalidConfigError):
            dg.validate_run_config(job, {"execution": {"config": config}})


def test_no_launch_can_lead_a_run_to_another_place() -> None:
    job = defs().resolve_job_def("ingest_user_logins")
    elsewhere = {"resources": {"outside": {"config": {"postgres_url": "postgresql://other"}}}}
    with pytest.raises(dg.DagsterInvalidConfigError):
        dg.validate_run_config(job, elsewhere)


def test_importing_the_definitions_opens_no_socket_and_starts_nothing() -> None:
    """And the safeguards stand wherever they are imported: in a run's process."""
    # Without bytecode: a fresh checkout would make its folders now.
    assert run("-B", "-c", WATCH).splitlines() == ["[] 1", GUARDED]


def test_the_safeguards_stand_on_the_command_line(tmp_path: Path) -> None:
    """No core dumps, and clean log lines."""
    look = (
        "import atexit, logging, resource; atexit.register(lambda: print("
        "resource.getrlimit(resource.RLIMIT_CORE),"
        " type(logging.getLogRecordFactory()).__module__))"
    )
    program = "import sys; sys.argv = ['pipeline', 'stop']; from pipeline.cli import main; main()"
    told = run("-c", f"{look}; {program}", environment={"PIPELINE_LOCAL_DIR": str(tmp_path)})
    assert told.splitlines()[-1] == GUARDED


def test_dagster_tells_its_makers_nothing() -> None:
    """In each instance that is shipped; its default is to send figures."""
    instances = [CHECKOUT / "dagster.yaml", *CHECKOUT.glob("deploy/**/dagster.yaml")]
    assert len(instances) > 1
    for each in instances:
        assert "\ntelemetry:\n  enabled: false" in each.read_text(encoding="utf-8"), each


def test_dagster_finds_the_definitions_by_the_workspace_file(tmp_path: Path) -> None:
    told = run(
        "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml",
        environment={"DAGSTER_HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1"},
    )  # fmt: skip
    assert "Validation successful for code location pipeline" in told
    assert not list(tmp_path.glob("keyring*"))


def run(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What a fresh interpreter prints, in the checkout and a hostile environment."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=CHECKOUT,
        env={"PATH": os.environ["PATH"], **HOSTILE, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + (done.stderr if environment else "")


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(deployed(), indent=2) + "\n")
