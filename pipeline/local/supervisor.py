"""The one process that has the embedded queue and Postgres, until nobody needs them any more.

Run as `python -m pipeline.local.supervisor FOLDER`, as `pipeline.local.services` does.
"""

import argparse
import asyncio
import json
import logging
import os
import random
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final, NoReturn

import psycopg

from pipeline.errors import LocalServiceError
from pipeline.local.journal import keep_journal, note_loop_error
from pipeline.local.locks import PAUSE, is_named, try_lock, write_pid
from pipeline.local.postgres import HOST, EmbeddedPostgres
from pipeline.local.private_files import keep_small, private_folder, write_private
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.server import QueueServer, create_app
from pipeline.local.services import (
    LOG,
    SERVICES_FILE,
    START_SECONDS,
    SUPERVISOR_LOCK,
    USERS_LOCK,
    find_running,
)

IDLE_SECONDS: Final = 600.0
_TICK: Final = 1.0
_LOOKS_WHILE_IDLE: Final = 20
_HANG_UP_SECONDS: Final = 2
# How often the queue is kept at most, and which part of its time that may take.
_KEEP_SECONDS: Final = 5.0
_KEEP_SHARE: Final = 0.02

_log = logging.getLogger(__name__)


class Supervisor:
    """Serves the queue in this process, Postgres in a child, and watches who uses them.

    Args:
        folder: The private folder.
        lock: The descriptor of its supervisor lock.
        idle_seconds: How long without a lease, a request or a connection is too long.
    """

    def __init__(self, folder: Path, lock: int, idle_seconds: float) -> None:
        self._folder = folder
        self._lock = lock
        self._idle_seconds = idle_seconds
        self._snapshot = folder / "queue.snapshot"
        self._postgres = EmbeddedPostgres(folder)
        self._queues = load_queues(self._snapshot)
        self._server = QueueServer(create_app(self._queues))
        self._server.config.timeout_graceful_shutdown = _HANG_UP_SECONDS
        self._served = 0
        self._kept = 0
        self._keep_at = 0.0

    def run(self) -> None:
        """Serve until nobody needs it, or the folder is gone.

        Raises:
            LocalServiceError: Postgres does not start.
            SystemExit: A signal asked for the end.
        """
        try:
            self._postgres.start()
            with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
                runner.run(self._serve())
        finally:
            self._leave()

    async def _serve(self) -> None:
        asyncio.get_running_loop().set_exception_handler(note_loop_error)
        listener = socket.create_server((HOST, 0))
        watch = asyncio.create_task(self._watch(listener.getsockname()[1]))
        await self._server.serve(sockets=[listener])
        await watch

    async def _watch(self, port: int) -> None:
        try:
            while not self._server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(PAUSE)
            self._publish(port)
            _say_ready()
            await self._attend(port)
        finally:
            self._server.should_exit = True

    async def _attend(self, port: int) -> None:
        used = time.monotonic()
        while self._has_folder():
            await asyncio.sleep(min(_TICK, self._idle_seconds / _LOOKS_WHILE_IDLE))
            if not self._postgres.is_alive():
                _log.warning("Postgres died; starting it again")
                await asyncio.to_thread(self._publish, port)
            if await asyncio.to_thread(self._is_used):
                used = time.monotonic()
            elif time.monotonic() - used > self._idle_seconds and self._retire():
                _log.info("Idle for %.0f s", self._idle_seconds)
                return
            self._keep_now_and_then()
            self._postgres.trim_log()
            keep_small(self._folder / LOG)

    def _is_used(self) -> bool:
        """Whether there is a lease, a request since the last look, or a client of Postgres."""
        state = self._server.server_state
        served, self._served = self._served, state.total_requests
        if state.total_requests > served or state.tasks:
            return True
        probe = try_lock(self._folder / USERS_LOCK)
        if probe is None:
            return True
        os.close(probe)
        try:
            return self._postgres.count_clients() > 0
        except psycopg.Error:
            return True

    def _retire(self) -> bool:
        """Take the services off the list, unless somebody has come: both in one lock."""
        probe = try_lock(self._folder / USERS_LOCK)
        if probe is None:
            return False
        (self._folder / SERVICES_FILE).unlink(missing_ok=True)
        os.close(probe)
        return True

    def _publish(self, port: int) -> None:
        """Start Postgres if it does not run, and tell where both services are."""
        published = {
            "pid": os.getpid(),
            "sqs_endpoint": f"http://{HOST}:{port}",
            "postgres_url": self._postgres.start(),
        }
        write_private(self._folder / SERVICES_FILE, json.dumps(published).encode())
        _log.info("Ready")

    def _keep_now_and_then(self) -> None:
        """Keep the queue while it is used: what has been acknowledged leaves the disk too."""
        started, served = time.monotonic(), self._server.server_state.total_requests
        if served == self._kept or started < self._keep_at:
            return
        self._keep()
        self._kept = served
        took = time.monotonic() - started
        self._keep_at = started + max(_KEEP_SECONDS, took / _KEEP_SHARE)

    def _keep(self) -> None:
        try:
            write_private(self._snapshot, self._queues.to_snapshot())
        except OSError as error:
            _log.error("The queue was not kept: %s", error.strerror)

    def _has_folder(self) -> bool:
        """Whether the folder is still the one that we locked, not a new one in its place."""
        return is_named(self._lock, self._folder / SUPERVISOR_LOCK)

    def _leave(self) -> None:
        """Put everything in order; a folder that is gone has nothing left to keep."""
        try:
            if self._has_folder():
                self._keep()
                (self._folder / SERVICES_FILE).unlink(missing_ok=True)
        finally:
            self._postgres.stop()
        _log.info("Stopped")


def load_queues(snapshot: Path) -> Queues:
    """The queues as they were; a snapshot that cannot be read is put aside, and we start empty."""
    rng = random.SystemRandom()
    try:
        return Queues.from_snapshot(snapshot.read_bytes(), clock=time.time, rng=rng)
    except FileNotFoundError:
        pass
    except LocalServiceError as error:
        aside = snapshot.with_name(f"{snapshot.name}.damaged")
        snapshot.replace(aside)
        _log.error("%s; it is now %s, and the queues are empty", error.what, aside.name)
    return Queues(clock=time.time, rng=rng)


def main() -> int:
    """Serve a folder, unless another supervisor does; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where everything is kept; made if missing")
    parser.add_argument("--idle-seconds", type=float, default=IDLE_SECONDS, help="%(default)s")
    settings = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(0o077)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit_once)
    folder = private_folder(settings.folder, owned_by=SUPERVISOR_LOCK)
    keep_journal(folder / LOG)
    try:
        lock = _lock_or_served(folder)
        if lock is None:
            _say_ready()
        else:
            Supervisor(folder, lock, settings.idle_seconds).run()
    except LocalServiceError as error:
        _log.error("%s", error)
        return 1
    except Exception:  # noqa: BLE001 - the journal takes its type and line, not its text
        _log.exception("A bug")
        return 1
    return 0


def _lock_or_served(folder: Path) -> int | None:
    """The supervisor's lock, or None if another supervisor has it and serves.

    Waits while that one is about to start or to stop.

    Raises:
        LocalServiceError: It does neither.
    """
    deadline = time.monotonic() + START_SECONDS
    while (lock := try_lock(folder / SUPERVISOR_LOCK)) is None:
        if find_running(folder) is not None:
            return None
        if time.monotonic() > deadline:
            raise LocalServiceError(
                "Another supervisor has the lock and does not serve",
                remedy="Stop the services and try again",
            )
        time.sleep(PAUSE)
    write_pid(lock, os.getpid())
    (folder / SERVICES_FILE).unlink(missing_ok=True)
    return lock


def _say_ready() -> None:
    """Tell whoever waits at our standard output, and let go of it."""
    with Path(os.devnull).open("wb") as nowhere:
        try:
            os.write(sys.stdout.fileno(), b"ready\n")
        except OSError:
            _log.info("Nobody waits for us any more")
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _exit_once(*_: object) -> NoReturn:
    """End in good order; further signals do not disturb that."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
