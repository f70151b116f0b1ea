"""The command line: what it does, what it says, and how it fails."""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline.local import services
from pipeline_tests.cli_case import alone, fails, pipeline, printed, process, succeeds
from pipeline_tests.samples import login
from pipeline_tests.world import World, sample_bodies

COMMANDS: Final = (
    *("demo", "seed", "ingest", "status", "url", "dev", "stop"),
    *("unmask", "forget", "rotate", "migrate", "keys"),
    *("serve", "api-keys", "fetch", "produce", "consume", "find"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for embedded services, which are stopped after the test."""
    folder = tmp_path / "local"
    yield folder
    services.stop(folder)


def status(environment: Mapping[str, str]) -> dict[str, Any]:
    """The status of the feed `user_logins`."""
    found: dict[str, Any] = json.loads(printed(process(environment, "status", "--json")))
    assert list(found) == ["feeds"]
    feed: dict[str, Any] = found["feeds"]["user_logins"]
    return feed


def test_seed_ingest_status_and_stop_on_embedded_services(folder: Path, tmp_path: Path) -> None:
    """From nothing, each command in a process of its own."""
    environment = alone(folder)
    sample = tmp_path / "sample.json.gz"
    sample.write_bytes(gzip.compress(f"[{','.join(sample_bodies())}]".encode()))
    sent = process(environment, "seed", "user_logins", "--file", str(sample))
    assert printed(sent) == "sent 100 events to login-queue\n"
    told = printed(process(environment, "ingest", "user_logins"))
    assert "received 100: loaded 99, duplicate 0, quarantined 1, released 0" in told
    found = status(environment)
    (batch,) = found.pop("last_runs")
    assert found == {
        "feed": "user_logins",
        "depth": 0,
        "in_flight": 0,
        "dead_letter_depth": 0,
        "rows": 99,
        "quarantined": 1,
        "quarantined_by_reason": {"missing": 1},
    }
    assert (batch["received"], batch["loaded"], batch["quarantined"]) == (100, 99, 1)
    table = succeeds(environment, "status")
    assert "missing 1" in table
    assert batch["run_id"][:8] in table
    assert printed(process(environment, "stop")).startswith("stopped the embedded services;")
    assert succeeds(environment, "stop") == "no embedded services are running\n"


@pytest.mark.parametrize("name", ["sample.json", "sample.jsonl.gz"])
def test_seed_takes_every_kind_of_file(world: World, tmp_path: Path, name: str) -> None:
    bodies = sample_bodies()[:12]
    text = "\n".join(bodies) if "jsonl" in name else f"[{','.join(bodies)}]"
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    succeeds(world.environment, "seed", "user_logins", "--file", str(tmp_path / name))
    assert world.depth() == (12, 0)


def test_the_demo_works_twice_and_leaves_nothing_behind(folder: Path) -> None:
    environment = alone(folder) | {
        # The demo never works on anything but embedded services, whatever is set.
        "PIPELINE_POSTGRES_URL": "postgresql://nobody@127.0.0.1:1/nothing",
        "AWS_REGION": "us-east-1",
    }
    for _ in range(2):
        told = printed(process(environment, "demo"))
        assert "every message is accounted for" in told
        assert re.search(r"quarantined +[1-9]\d* +\(", told)
        assert re.search(r"\bnot_json \d+", told)
        assert re.search(r"received +1000\b", told)
        assert services.find_running(folder) is None
        assert services.stop(folder) is False
    assert not list(folder.with_name("temporary").iterdir())


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["seed", "nothing"], "E_CONTRACT", "user_logins"),
        (["seed", "user_logins", "--file", "/missing/sample.json"], "E_SEED", "sample.json"),
        (["seed", "user_logins", "--malformed", "not_json=much"], "E_SEED", "not_json=0.02"),
        (["seed", "user_logins", "--distinct", "-1"], "E_SEED", "share"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    world: World, arguments: list[str], code: str, named: str
) -> None:
    found, text = fails(world.environment, *arguments)
    assert found == code
    assert named in text
    assert world.depth() == (0, 0)


def test_half_a_configuration_is_one_line(world: World) -> None:
    environment = dict(world.environment)
    del environment["PIPELINE_POSTGRES_URL"]
    code, text = fails(environment, "ingest", "user_logins")
    assert code == "E_SETTINGS"
    assert "PIPELINE_POSTGRES_URL" in text
    assert not Path(environment["PIPELINE_LOCAL_DIR"]).exists()


def test_a_check_that_fails_is_named_and_the_batch_is_in(world: World) -> None:
    world.send([json.dumps(login(locale=text)) for text in ("ann@example.org", "DE")])
    done = pipeline(world.environment, "ingest", "user_logins")
    assert done.returncode == 0
    assert "received 2: loaded 2, duplicate 0" in done.stdout
    assert done.stderr.startswith(
        "check kept_columns_hold_no_personal_values failed: rows with email in locale: 1. Mask or"
    )
    assert done.stderr.count("check ") == done.stderr.count("\n") == 1
    assert "ann" not in done.stdout + done.stderr


def test_a_run_that_fails_is_one_line(world: World) -> None:
    world.query("CREATE TABLE user_logins (user_id text)")
    code, text = fails(world.environment, "ingest", "user_logins")
    assert code == "E_RUN_FAILED"
    assert "E_TABLE_MISMATCH" in text
    assert "device_type" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches(folder: Path, command: str) -> None:
    told = succeeds(alone(folder), command, "--help")
    assert "Usage: pipeline" in told
    assert len(told.split()) > 15
    assert not folder.exists()


def test_help_names_every_command(folder: Path) -> None:
    told = succeeds(alone(folder), "--help")
    assert all(re.search(rf"\b{command}\b", told) for command in COMMANDS)
    assert "PIPELINE_POSTGRES_URL" in told
