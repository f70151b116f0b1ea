"""Dagster's web UI and daemon over this checkout, with a history that outlives them."""

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import NoReturn

import dagster as dg

import pipeline
from pipeline.consume.sensor import UNFINISHED
from pipeline.errors import LocalServiceError
from pipeline.local.locks import try_lock
from pipeline.local.private_files import private_folder
from pipeline.local.services import SUPERVISOR_LOCK, local_folder

_CHECKOUT = Path(pipeline.__file__).parents[1]


def open_web_ui(port: int) -> NoReturn:
    """Turns this process into `dagster dev`, with its home in the local folder.

    Raises:
        LocalServiceError: It is open already: two daemons on one history would both launch.
            Or the port is taken: Dagster would go on without a page to look at.
    """
    home = private_folder(local_folder(), owned_by=SUPERVISOR_LOCK) / "dagster"
    home.mkdir(mode=0o700, exist_ok=True)
    _lock(home)
    _check_port(port)
    shutil.copyfile(_CHECKOUT / "dagster.yaml", home / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    end_dead_runs()
    os.chdir(home)  # in the checkout Dagster would warn of the dagster.yaml that is not used
    workspace = str(_CHECKOUT / "workspace.yaml")
    command = [sys.executable, "-m", "dagster", "dev", "--port", str(port), "-w", workspace]
    os.execv(command[0], command)  # noqa: S606 - no shell, and Ctrl-C reaches Dagster


def _lock(home: Path) -> None:
    """Locks the home for as long as this process lives, whatever program it runs."""
    descriptor = try_lock(home / "open.lock")
    if descriptor is None:
        raise LocalServiceError(
            "the web UI is open already", remedy="Use that one, or end it first"
        )
    os.set_inheritable(descriptor, True)  # noqa: FBT003 - takes no keyword


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise LocalServiceError(
                f"port {port} is taken or not to be had",
                remedy=f"Choose another: pipeline dev --port {port + 1}",
            ) from None


def end_dead_runs() -> None:
    """Ends what an earlier process was killed over: the sensor would wait for it for minutes."""
    with dg.DagsterInstance.get() as instance:
        for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
            instance.report_run_failed(run, "The process that ran it is gone")
