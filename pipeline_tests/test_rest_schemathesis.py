"""A tester that makes requests from OpenAPI itself finds nothing that the service gets wrong."""

import re
import subprocess
import sys
from pathlib import Path

import httpx

from pipeline.produce.rest import api_keys
from pipeline.produce.rest.limits import Limits
from pipeline_tests.rest_process import RestProcess, rest_process
from pipeline_tests.rest_service import FEEDS


def examine(
    service: RestProcess, folder: Path, *options: str, operations: int, key: str = "none"
) -> int:
    """Lets schemathesis look for failures, of which there must be none; how many requests it made.

    Args:
        service: What it looks at.
        folder: For its files.
        *options: How, and how long.
        operations: How many it is to find.
        key: Its API key.
    """
    headers = {"Authorization": f"Bearer {key}"}
    described = httpx.get(f"{service.url}/openapi.json", headers=headers).raise_for_status()
    (folder / "openapi.json").write_bytes(described.content)
    # Not among the options: so that it can leave the key out, and see what comes of it.
    (folder / "schemathesis.toml").write_text(f'[auth.openapi.key]\nbearer = "{key}"\n')
    found = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            *("run", "openapi.json", f"--url={service.url}", "--checks=all", "--no-color"),
            *("--generation-deterministic", *options),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stdout[-6000:]
    assert f"Tested: {operations}\n" in found.stdout
    made = re.search(r"^  (\d+) generated", found.stdout, re.MULTILINE)
    assert made
    return int(made[1])


def test_every_operation_of_every_feed_does_what_openapi_says(tmp_path: Path) -> None:
    with rest_process(tmp_path, Limits()) as service:
        operations = 2 * len(FEEDS) + 4  # the list of feeds, and what operators ask
        assert examine(service, tmp_path, "--max-examples=4", operations=operations) > 400
        assert "Traceback" not in service.output.read_text()


def test_with_api_keys_nobody_gets_in_without_one(tmp_path: Path) -> None:
    entries, key = api_keys.add_key({}, "acme", feeds=["*"], per_second=1e6, known=())
    keys = tmp_path / "keys.json"
    keys.write_bytes(api_keys.write_list(entries))
    keys.chmod(0o600)
    with rest_process(tmp_path, Limits(), PIPELINE_API_KEYS=str(keys)) as service:
        one = ("--phases=coverage", "--include-path-regex=^/v1/feeds(/user_logins.*)?$")
        assert examine(service, tmp_path, *one, operations=3, key=key) > 100
        assert "Traceback" not in service.output.read_text()
