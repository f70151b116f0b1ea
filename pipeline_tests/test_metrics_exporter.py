"""`pipeline exporter` as a process: what it answers, what it imports, and how it ends."""

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from pipeline_tests.metrics_case import parse
from pipeline_tests.world import World

PIPELINE: Final = Path(sys.executable).with_name("pipeline")
HEAVY: Final = "dagster fastapi starlette uvicorn pandas numpy sqlalchemy alembic httpx celery"


@pytest.fixture
def exporter(world: World) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running exporter: its host and port, and its process."""
    process = subprocess.Popen(
        [str(PIPELINE), "exporter", "--port", "0"],
        env=dict(world.environment), text=True, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        assert said.startswith("listening on http://127.0.0.1:"), said
        yield urlsplit(said.split()[-1]).netloc, process
    finally:
        process.kill()
        process.communicate()


def ask(place: str, path: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection(place, timeout=20)
    connection.request(method, path)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_it_answers_and_ends(exporter: tuple[str, subprocess.Popen[str]]) -> None:
    place, process = exporter
    host, _, port = place.partition(":")
    silent = socket.create_connection((host, int(port)))  # who says nothing keeps nobody waiting

    status, text = ask(place, "/metrics")
    assert status == 200
    found = parse(text)
    assert found.value("pipeline_up", source="sqs") == 1
    (build,) = found.labelled("pipeline_build_info")
    assert set(build) == {"version", "python"}
    assert found.value("process_start_time_seconds")
    assert ask(place, "/healthz") == (200, "ok\n")
    assert ask(place, "/metrics", "POST")[0] == 405
    assert ask(place, "/")[0] == 404

    silent.close()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def test_a_port_that_is_taken_is_told(
    exporter: tuple[str, subprocess.Popen[str]], world: World
) -> None:
    done = subprocess.run(
        [str(PIPELINE), "exporter", "--port", exporter[0].rpartition(":")[2]],
        env=dict(world.environment), text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be listened on" in done.stderr


def test_it_imports_no_dagster_and_no_web_framework() -> None:
    code = (
        "import sys; from pipeline.operate.metrics import collector, place, server;"
        f"print(*sorted({set(HEAVY.split())!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, text=True, capture_output=True, timeout=60
    )
    assert done.stdout.strip() == ""
