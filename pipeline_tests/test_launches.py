"""What a launch may choose, and what Dagster keeps of a run: no place, no secret, no raw data."""

import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline_tests.canaries import Canaries, found_under
from pipeline_tests.privacy_case import Traces, record
from pipeline_tests.world import JOB, World

CHOOSABLE: Final = {
    # Whom or what a custodian means, and why; each is held to its form before anything is done.
    *("column", "pseudonyms", "message", "messages", "reason", "stated_by", "delete_rows"),
    # How much of the quarantine and of dead letters, and how fast.
    *("codes", "everything", "older_than_days", "dry_run", "rate", "most", "per_second", "way"),
    # What the seed job makes up; `file` is a name within PIPELINE_SEED_DIR.
    *("count", "distinct", "duplicates", "malformed", "random_seed", "file"),
}
"""All that a launch may set of any op. No table, queue, address, host, path, policy, executor."""

OF_DAGSTER: Final = {
    ("execution", "config", "marker_to_close"),
    ("execution", "config", "step_dependency_config", "require_upstream_step_success"),
    ("loggers", "console", "config", "log_level"),
    ("loggers", "console", "config", "name"),
    ("resources", "io_manager", "config"),  # taken, and read by nobody
}
HOSTILE: Final = {
    "queue": "another-queue", "queue_url": "http://192.0.2.1:9/another-queue",
    "table": "public.another", "postgres_url": "postgresql://u:p@192.0.2.1/x",
    "keyring": "/dev/null", "masking": False, "policy": "keep", "path": "out.pickle",
}  # fmt: skip


def leaves(kind: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - Dagster's types of config have no public base
    """The path of each value that may be set."""
    if (fields := getattr(kind, "fields", None)) is not None:
        for name, field in fields.items():
            yield from leaves(field.config_type, (*path, name))
    elif inner := getattr(kind, "inner_type", None):
        yield from leaves(inner, path)
    else:
        yield path


def test_a_launch_sets_nothing_but_what_is_listed() -> None:
    """No input of an op either: Dagster would read one from a file, and unpickle it."""
    jobs = [job for job in defs().get_repository_def().get_all_jobs() if job.name[:2] != "__"]
    paths = {path for job in jobs for path in leaves(job.run_config_schema.config_type)}
    of_ops = {path for path in paths if path[0] == "ops"}

    assert paths - of_ops == OF_DAGSTER
    # An op that declares no config takes anything, and reads nothing.
    assert {path[-1] for path in of_ops} - {"config"} == CHOOSABLE
    assert all(path[-1] == "config" or path[-2] == "config" for path in of_ops)


def test_a_hostile_launch_changes_nothing_and_nothing_secret_is_kept(
    world: World,
    instance: dg.DagsterInstance,
    traces: Traces,
    canaries: Canaries,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run goes to the feed's queue and table all the same, and masks."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sentinel-of-aws-5d1c")
    monkeypatch.setenv("PIPELINE_CUSTODIAN_URL", world.postgres_url)
    world.send([json.dumps(record(canaries, place)) for place in range(3)])

    result = (
        defs()
        .resolve_job_def(JOB)
        .execute_in_process(
            instance=instance,
            run_config={
                "ops": {
                    "user_logins": {
                        "ops": {
                            f"{op}_user_logins": {"config": HOSTILE}
                            for op in ("extract", "mask", "load", "acknowledge")
                        }
                    }
                }
            },
            raise_on_error=False,
        )
    )

    assert result.success
    assert world.query("SELECT count(*) FROM user_logins WHERE masked_ip LIKE 'v1.%'") == [(3,)]
    assert world.query("SELECT to_regclass('public.another')") == [(None,)]
    roots = json.loads(world.keyring.read_text())["roots"].values()
    secrets = {
        "the warehouse's password": str(urlsplit(world.postgres_url).password).encode(),
        "the secret of AWS": b"sentinel-of-aws-5d1c",
        **{f"root {place}": root.encode() for place, root in enumerate(roots, start=1)},
    }
    assert all(secrets.values())
    assert "root 1" in secrets
    assert traces.find(secrets) == {}
    # Nothing but Dagster's databases, and what the processes print: no value of any op.
    files = [path for path in traces.home.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".db", ".err", ".out", ".complete", ".yaml", ""}
    assert not found_under([traces.home], {"a pickle": b"\x80\x04\x95", "a frame": b"DataFrame"})
