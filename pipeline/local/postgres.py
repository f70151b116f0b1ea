"""One real Postgres over a private folder, which ends with the process that started it."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from pipeline.errors import LocalServiceError
from pipeline.local.binaries import QUIET, find_binaries
from pipeline.local.cluster import USER, Cluster, exclusive, make_cluster
from pipeline.local.identity import choose_identity
from pipeline.local.locks import PAUSE, write_pid
from pipeline.local.private_files import keep_small, last_lines, open_log

DATABASE: Final = "warehouse"
HOST: Final = "127.0.0.1"

# For a small machine. Of the log only the server's own fate is kept: ERROR and what comes with
# it (detail, statement, parameters) can hold rows.
_SETTINGS: Final = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "timezone": "UTC",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
# Waits to be told that the guard stands, so that there is no moment without one.
_LAUNCH: Final = 'read -r line && exec "$@" </dev/null'
# Waits for the end of its owner, which closes the pipe.
_GUARD: Final = 'read -r line; kill -INT "$1"'
# Another process can take a port between the moment it is found free and Postgres's start.
_ATTEMPTS: Final = 3
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 20.0
_STATE_LINE: Final = 7


class EmbeddedPostgres:
    """A server for this process and whoever it gives the URL to.

    It shuts down by itself when this process dies, however it dies, and it survives being
    killed itself: what was committed is there at the next start.

    Args:
        folder: A private folder; all that the server has lies in it.
    """

    def __init__(self, folder: Path) -> None:
        self._cluster = Cluster(folder.resolve())
        self._server: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._port = 0

    def start(self) -> str:
        """Start the server if it does not run, on the port it had before if that is free.

        Returns:
            `postgresql://user:password@127.0.0.1:port/warehouse`; the database exists.

        Raises:
            LocalServiceError: There is no Postgres, its data is damaged, or it did not start.
        """
        if not self.is_alive():
            self.stop()
            try:
                with exclusive(self._cluster) as lock:
                    self._start(lock)
                self._make_database()
            except BaseException:
                self.stop()
                raise
        return self._url(DATABASE)

    def stop(self) -> None:
        """Shut the server down in good order; nothing happens if there is none."""
        if self._server is not None:
            _end(self._server)
            self._server = None
        if self._guard is not None:
            with self._guard:
                self._guard.kill()
            self._guard = None

    def is_alive(self) -> bool:
        """Whether the server's process runs."""
        return self._server is not None and self._server.poll() is None

    def count_clients(self) -> int:
        """How many connections there are, this question's own aside.

        Raises:
            psycopg.OperationalError: The server does not answer.
        """
        with self._connect("postgres") as connection:
            counted = connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).fetchone()
        return int(counted[0]) if counted else 0

    def trim_log(self) -> None:
        """Keep the server's log from growing without end."""
        keep_small(self._cluster.log)

    def _start(self, lock: int) -> None:
        cluster = self._cluster
        binaries = find_binaries(major=cluster.major())
        identity = choose_identity(binaries.postgres)
        if not cluster.home.exists():
            make_cluster(cluster, binaries, identity, lock=lock)
        identity.own(cluster.data)
        self.trim_log()
        for _ in range(_ATTEMPTS):
            self._port = _free_port(self._port)
            (cluster.data / "postmaster.pid").unlink(missing_ok=True)
            self._launch([*identity.prefix, str(binaries.postgres)], lock)
            if self._becomes_ready():
                return
            self.stop()
        raise cluster.broken(f"did not start: {last_lines(cluster.log)}")

    def _launch(self, program: list[str], lock: int) -> None:
        command = [*program, "-D", str(self._cluster.data), "-c", f"port={self._port}"]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        log = open_log(self._cluster.log)
        try:
            self._server = subprocess.Popen(  # noqa: S603 - a program found where Postgres lives
                ["/bin/sh", "-c", _LAUNCH, "sh", *command],
                env=QUIET, cwd="/", umask=0o077, start_new_session=True, pass_fds=(lock,),
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        finally:
            os.close(log)
        write_pid(lock, self._server.pid)
        self._guard = subprocess.Popen(  # noqa: S603 - a script of this module
            ["/bin/sh", "-c", _GUARD, "sh", str(self._server.pid)],
            env=QUIET, cwd="/", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if self._server.stdin is not None:
            self._server.stdin.write(b"go\n")
            self._server.stdin.close()

    def _becomes_ready(self) -> bool:
        deadline = time.monotonic() + _START_SECONDS
        while self.is_alive() and time.monotonic() < deadline:
            if _says_ready(self._cluster.data / "postmaster.pid"):
                return True
            time.sleep(PAUSE)
        return False

    def _make_database(self) -> None:
        try:
            connection = self._connect("postgres")
        except psycopg.OperationalError as error:
            raise self._cluster.broken("lets nobody in with its password") from error
        with connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(self._url(database), autocommit=True, connect_timeout=10)

    def _url(self, database: str) -> str:
        return f"postgresql://{USER}:{self._cluster.password()}@{HOST}:{self._port}/{database}"


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ask for a fast shutdown, then for an immediate one; both are safe for what is committed."""
    with server:
        for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
            server.send_signal(order)
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(_STOP_SECONDS)
                return


def _says_ready(pid_file: Path) -> bool:
    """As `pg_ctl` waits: the eighth line of postmaster.pid is the server's state."""
    try:
        lines = pid_file.read_text().splitlines()
    except OSError:
        return False
    return len(lines) > _STATE_LINE and lines[_STATE_LINE].strip() == "ready"


def _free_port(wanted: int) -> int:
    """The wanted port if it is free, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    raise LocalServiceError("This machine has no free port", remedy="Close some connections")
