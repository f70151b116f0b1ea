"""Dagster as it stands behind the gateway: code server, web server, read-only web server."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import httpx

from pipeline_tests.world import free_port

CHECKOUT: Final = Path(__file__).parents[3]
START_SECONDS: Final = 180.0
JOB: Final = "check_start_up"

LAUNCH: Final = (
    "mutation { launchRun(executionParams: {selector: {"
    'repositoryLocationName: "pipeline", repositoryName: "__repository__", '
    f'jobName: "{JOB}"}}, runConfigData: "{{}}"}}) '
    "{ __typename ... on UnauthorizedError { message } } }"
)
"""Asks for a run. No daemon takes it from Dagster's queue, so that it costs nothing."""


@dataclass(frozen=True)
class Dagster:
    """The servers of one instance.

    Attributes:
        web: Host and port of the web server.
        viewer: Host and port of the read-only one.
        home: The instance's folder.
    """

    web: str
    viewer: str
    home: Path

    def count_runs(self) -> int:
        """How many runs were ever asked for."""
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            return instance.get_runs_count()

    def client(self) -> httpx.Client:
        """A client of the web server itself, with nothing between."""
        return httpx.Client(base_url=f"http://{self.web}", timeout=60)


def has_launched(answer: httpx.Response) -> bool:
    """Whether a run was asked for, and granted."""
    said: dict[str, Any] = answer.json()
    return bool(said["data"]["launchRun"]["__typename"] == "LaunchRunSuccess")


@contextlib.contextmanager
def dagster_servers(folder: Path) -> Iterator[Dagster]:
    """Run the project's own definitions in a folder, without a daemon."""
    home = folder / "home"
    home.mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", home / "dagster.yaml")
    code, web, viewer = free_port(), free_port(), free_port()
    workspace = folder / "workspace.yaml"
    workspace.write_text(
        "load_from:\n  - grpc_server:\n"
        f"      {{host: 127.0.0.1, port: {code}, location_name: pipeline}}\n"
    )
    with contextlib.ExitStack() as running:
        start = ["dagster", "api", "grpc", "-h", "127.0.0.1", "-p", str(code)]
        code_server = _start(folder, "code", [*start, "-m", "pipeline.definitions"])
        running.callback(_end, code_server)
        _until(lambda: _serves(code), code_server, folder / "code.log")
        for name, port, option in (("web", web, []), ("viewer", viewer, ["--read-only"])):
            server = ["dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-w", str(workspace)]
            process = _start(folder, name, [*server, *option])
            running.callback(_end, process)
            _until(lambda port=port: _answers(port), process, folder / f"{name}.log")
        yield Dagster(f"127.0.0.1:{web}", f"127.0.0.1:{viewer}", home)


def _start(folder: Path, name: str, module: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DAGSTER_HOME": str(folder / "home"),
        "PIPELINE_LOCAL_DIR": str(folder / "local"),
        "PYTHONPATH": str(CHECKOUT),
    }
    with (folder / f"{name}.log").open("wb") as printed:
        return subprocess.Popen(
            [sys.executable, "-m", *module],
            env=environment,
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(ready: Any, process: subprocess.Popen[bytes], log: Path) -> None:  # noqa: ANN401 - a lambda with a default
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.3)


def _serves(port: int) -> bool:
    command = ["dagster", "api", "grpc-health-check", "-p", str(port)]
    ended = subprocess.run([sys.executable, "-m", *command], check=False, capture_output=True)
    return ended.returncode == 0


def _answers(port: int) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/server_info", timeout=5).is_success
    return False
