"""Configuration and alerts, as promtool and the real Prometheus take them."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from prometheus_client import generate_latest

from pipeline_tests.metrics_case import filled_registry
from pipeline_tests.samples import eventually
from pipeline_tests.world import free_port

FOLDER: Final = Path(__file__).parents[1]
ALERTS: Final = re.findall(r"- alert: (\w+)", (FOLDER / "rules.yml").read_text())


def promtool(*words: str, given: bytes = b"") -> str:
    """What promtool says; it must find nothing amiss."""
    done = subprocess.run(["promtool", *words], input=given, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_the_configuration_and_its_rules_are_valid() -> None:
    said = promtool("check", "config", "--lint-fatal", str(FOLDER / "prometheus.yml"))
    assert f"{len(ALERTS)} rules found" in said


def test_each_alert_comes_when_it_should_and_is_silent_when_not() -> None:
    tests = FOLDER / "tests" / "rules_test.yml"
    assert "SUCCESS" in promtool("test", "rules", str(tests))
    assert set(ALERTS) == set(re.findall(r"alertname: (\w+)", tests.read_text()))


def test_the_exporters_metrics_are_named_as_prometheus_wants() -> None:
    promtool("check", "metrics", given=generate_latest(filled_registry()))


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """The URL of a real Prometheus with this configuration."""
    port = free_port()
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={FOLDER / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: _is_ready(url))
        yield url
    finally:
        process.terminate()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def test_the_real_prometheus_loads_every_rule_and_expression(prometheus: str) -> None:
    groups = httpx.get(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    assert sum(len(group["rules"]) for group in groups) == len(ALERTS)
    eventually(lambda: _jobs(prometheus) == {"pipeline", "pipeline-rest"})
    for expression in _of_dashboard():
        answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": expression})
        assert answer.status_code == 200, (expression, answer.text)


def _jobs(url: str) -> set[str]:
    targets = httpx.get(f"{url}/api/v1/targets").json()["data"]["activeTargets"]
    return {each["labels"]["job"] for each in targets}


def _of_dashboard() -> Iterator[str]:
    shown = FOLDER.parent / "grafana" / "dashboards" / "pipeline.json"
    for panel in json.loads(shown.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"].replace("$__rate_interval", "5m").replace("$feed", ".*")
