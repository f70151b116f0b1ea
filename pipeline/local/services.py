"""What the rest of the project asks for the embedded queue and Postgres: start once, share, stop.

One supervisor process has both services. Those who use them hold a shared lock for as long as
they live; when nobody does any more, the supervisor leaves after a while. Light to import: what
serves is imported by the supervisor alone.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pipeline
from pipeline.errors import LocalServiceError
from pipeline.local.cluster import Cluster, exclusive
from pipeline.local.locks import (
    PAUSE,
    is_locked,
    is_named,
    locked,
    share_lock,
    signal_holder,
    wait_for_lock,
)
from pipeline.local.private_files import (
    existing_folder,
    keep_small,
    last_lines,
    open_log,
    private_folder,
)
from pipeline.local.probes import postgres_answers, queue_answers

SUPERVISOR: Final = "pipeline.local.supervisor"
SUPERVISOR_LOCK: Final = "supervisor.lock"
USERS_LOCK: Final = "users.lock"
SERVICES_FILE: Final = "services.json"
LOG: Final = "supervisor.log"

_CHECKOUT: Final = Path(pipeline.__file__).parents[1]
START_SECONDS: Final = 60.0
# Repeated, since a supervisor that has just taken its lock has not signed it yet.
_STOP_ORDERS: Final = (*[signal.SIGTERM] * 20, *[signal.SIGKILL] * 5)
_STOP_SECONDS: Final = 2.0
# Runs a command as nobody's child: it outlives its caller and leaves no zombie there.
_DETACH: Final = '"$@" &'

_leases: dict[Path, int] = {}
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class LocalServices:
    """Where the two services answer; the URL holds a password, so it is not shown."""

    sqs_endpoint: str
    postgres_url: str = field(repr=False)


def local_folder() -> Path:
    """Where the embedded services keep everything; made when they first start.

    `PIPELINE_LOCAL_DIR` if it is set, else `.local` in the checkout, else, where the package
    was installed, the user's own folder for data.
    """
    if given := os.environ.get("PIPELINE_LOCAL_DIR"):
        return Path(given).expanduser().absolute()
    if (_CHECKOUT / "setup.py").exists():
        return _CHECKOUT / ".local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "pipeline"
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "pipeline"


def ensure_running(folder: Path) -> LocalServices:
    """The services of a folder, started if need be, kept up for the life of this process.

    Args:
        folder: As from `local_folder()`; made if it is missing.

    Raises:
        LocalServiceError: They did not start, or do not answer; with the end of their log.
    """
    folder = private_folder(folder, owned_by=SUPERVISOR_LOCK)
    with _one_at_a_time:
        _take_lease(folder)
        return find_running(folder) or _start(folder)


def find_running(folder: Path) -> LocalServices | None:
    """The services of a folder if both answer; starts nothing.

    Raises:
        LocalServiceError: The folder belongs to somebody else.
    """
    own = existing_folder(folder)
    if own is None or not is_locked(own / SUPERVISOR_LOCK):
        return None
    try:
        published = json.loads((own / SERVICES_FILE).read_bytes())
        services = LocalServices(published["sqs_endpoint"], published["postgres_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if queue_answers(services.sqs_endpoint) and postgres_answers(services.postgres_url):
        return services
    return None


def stop(folder: Path) -> bool:
    """Stop the services of a folder, whoever uses them, and wait until they are gone.

    Returns:
        Whether there was anything to stop.

    Raises:
        LocalServiceError: They do not end, or belong to somebody else.
    """
    own = existing_folder(folder)
    if own is None:
        return False
    found = _stop_supervisor(own)
    cluster = Cluster(own)
    found = is_locked(cluster.lock) or found
    if found:
        with exclusive(cluster):
            pass
    return found


def _take_lease(folder: Path) -> None:
    """Hold a lease once; a new one where the folder was deleted and made again."""
    path = folder / USERS_LOCK
    lease = _leases.get(folder)
    if lease is None or not is_named(lease, path):
        _leases[folder] = share_lock(path)
        if lease is not None:
            os.close(lease)


def _start(folder: Path) -> LocalServices:
    deadline = time.monotonic() + START_SECONDS
    with locked(folder / "start.lock", START_SECONDS):
        while time.monotonic() < deadline:
            if services := find_running(folder):
                return services
            _launch(folder)
            time.sleep(PAUSE)
    raise _failed(folder, "do not answer")


def _launch(folder: Path) -> None:
    """Start a supervisor and wait until it closes its standard output: ready, or dead.

    A second supervisor waits for the first, and leaves when that one serves; so it does no
    harm to start one too many.
    """
    keep_small(folder / LOG)
    log = open_log(folder / LOG)
    try:
        said = subprocess.run(  # noqa: S603 - this package's own module
            ["/bin/sh", "-c", _DETACH, "sh", sys.executable, "-m", SUPERVISOR, str(folder)],
            cwd=_CHECKOUT, start_new_session=True, timeout=START_SECONDS, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _failed(folder, f"were not ready after {START_SECONDS:.0f} s") from None
    finally:
        os.close(log)
    if not said:
        raise _failed(folder, "did not start")


def _stop_supervisor(folder: Path) -> bool:
    lock = folder / SUPERVISOR_LOCK
    if not is_locked(lock):
        return False
    for order in _STOP_ORDERS:
        signal_holder(lock, SUPERVISOR, order)
        descriptor = wait_for_lock(lock, _STOP_SECONDS)
        if descriptor is not None:
            os.close(descriptor)
            return True
    raise _failed(folder, "do not end")


def _failed(folder: Path, how: str) -> LocalServiceError:
    return LocalServiceError(
        f"The embedded services in {folder} {how}. Last in their log: {last_lines(folder / LOG)}",
        remedy=f"See {folder / LOG} and {Cluster(folder).log}; `make stop` ends what still runs",
    )


def _forget_in_child() -> None:
    """A fork has copies of the leases: they would outlive the process that took them."""
    global _one_at_a_time  # noqa: PLW0603 - another thread may have held it in the parent
    _one_at_a_time = threading.Lock()
    while _leases:
        os.close(_leases.popitem()[1])


os.register_at_fork(after_in_child=_forget_in_child)
