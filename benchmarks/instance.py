"""A whole instance of Dagster over the services: code servers, daemon, launcher, own storage.

Every process is a real one, as where it is deployed; a web server is not needed. The settings are
the project's own `dagster.yaml`, with the storage in a database of the same Postgres.
"""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.launchers import WAYS, Launcher
from benchmarks.outside import Services
from benchmarks.processes import PeakWatch, cpu_seconds, seen
from chaos.place import HOST, free_port
from chaos.processes import Process
from pipeline.local.private_files import last_lines

if TYPE_CHECKING:
    from benchmarks.history import History

_SOURCES: Final = Path(__file__).parents[1]
_BIN: Final = Path(sys.executable).parent
_START_SECONDS: Final = 180.0
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Location:
    """A code location.

    Attributes:
        module: Of its definitions.
        environment: What its code server, and so its runs, are told besides.
    """

    module: str
    environment: Mapping[str, str] = field(default_factory=dict)


class Instance:
    """Its processes, and what it remembers.

    Args:
        home: DAGSTER_HOME, written already.
        history: What it remembers.
        daemon: Its daemon.
        servers: Its code servers.
        workers: What the launcher runs beside them.
    """

    def __init__(
        self,
        *,
        history: "History",
        daemon: Process,
        servers: Sequence[Process],
        workers: Sequence[Process],
    ) -> None:
        self.history = history
        self._daemon, self._servers, self._workers = daemon, servers, workers

    @contextmanager
    def watching(self) -> Iterator[None]:
        """With the daemon, and so with sensors and launches, for as long as the context lasts."""
        self._daemon.start()
        try:
            yield
        finally:
            self._daemon.end()

    def settle(self, sensor: str) -> None:
        """Waits until a sensor has had a tick and no run is left: all that a start entails.

        Raises:
            SystemExit: That takes minutes.
        """
        wait_until(lambda: self.history.first_tick(sensor, 0.0) is not None, f"a tick of {sensor}")
        wait_until(self.history.is_idle, "no run is left")

    def cpu_seconds(self) -> float:
        """Of a core, that all processes of the instance have taken, those of its runs included."""
        return cpu_seconds(self._sessions(self._daemon, *self._servers, *self._workers))

    def parts_cpu_seconds(self) -> dict[str, float]:
        """The same of the daemon and of the code servers, each apart."""
        return {
            "daemon": cpu_seconds(self._sessions(self._daemon)),
            "code server": cpu_seconds(self._sessions(*self._servers)),
        }

    def watch_runs(self) -> PeakWatch:
        """Watches the memory of the processes that runs are at work in."""
        workers = self._sessions(*self._workers)
        servers = self._sessions(*self._servers)

        def pids() -> list[int]:
            # A code server leads its session; what else is there are its runs.
            return [
                each.pid
                for each in seen()
                if each.session in workers or (each.session in servers and each.pid != each.session)
            ]

        return PeakWatch(pids)

    @staticmethod
    def _sessions(*processes: Process) -> set[int]:
        return {session for process in processes for session in process.groups}


@contextmanager
def deployed(
    name: str, services: Services, locations: Sequence[Location], *, launcher: str = "default"
) -> Iterator[Instance]:
    """An instance whose code servers answer; its daemon waits to be started.

    Args:
        name: Names its home and its database.
        services: What it works against.
        locations: What it serves.
        launcher: How its runs get a process, of `benchmarks.launchers.WAYS`.

    Raises:
        SystemExit: It does not start.
    """
    from benchmarks.history import History  # noqa: PLC0415 - Dagster: 3 s, and much memory

    home = services.place.dagster / name
    home.mkdir(mode=0o700)
    with WAYS[launcher](home) as way, contextlib.ExitStack() as stack:
        made = _Making(name, home, services, way)
        ports = [free_port() for _ in locations]
        made.write_settings(ports)
        servers = [made.server(*each) for each in zip(locations, ports, strict=True)]
        workers = [made.process(each, command, {}) for each, command in way.workers.items()]
        command = [str(_BIN / "dagster-daemon"), "run", "-w", str(home / "workspace.yaml")]
        daemon = made.process("daemon", command, {})
        for process in (*servers, *workers, daemon):
            stack.callback(process.end)
        stack.enter_context(made.telling_failures())
        for process in (*servers, *workers):
            process.start()
        for server, port in zip(servers, ports, strict=True):
            wait_until(partial(_answers, server, port), "the code server answers")
        history = stack.enter_context(contextlib.closing(History(home)))
        yield Instance(history=history, daemon=daemon, servers=servers, workers=workers)


def wait_until(holds: Callable[[], bool], what: str, *, seconds: float = _START_SECONDS) -> float:
    """Waits for a condition; the moment at which it was seen, in seconds since the epoch.

    Raises:
        SystemExit: It does not come about in time.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return time.time()
        time.sleep(_LOOK_SECONDS)
    raise SystemExit(f"not seen within {seconds:.0f} s: {what}")


class _Making:
    """What all processes of an instance have in common."""

    def __init__(self, name: str, home: Path, services: Services, launcher: Launcher) -> None:
        self._name, self._home, self._services, self._launcher = name, home, services, launcher
        self._said: dict[str, Path] = {}
        self._environment = {
            **services.environment(),
            **launcher.environment,
            "DAGSTER_HOME": str(home),
            "PYTHONPATH": str(_SOURCES),
        }

    def write_settings(self, ports: Sequence[int]) -> None:
        """What Dagster reads; JSON is YAML, and quotes by itself."""
        url = json.dumps(self._services.make_database(self._name))
        storage = f"storage:\n  postgres:\n    postgres_url: {url}\n"
        settings = [(_SOURCES / "dagster.yaml").read_text(), storage, self._launcher.settings]
        (self._home / "dagster.yaml").write_text("\n".join(settings))
        servers = [
            {"grpc_server": {"host": HOST, "port": port, "location_name": f"location_{place}"}}
            for place, port in enumerate(ports)
        ]
        (self._home / "workspace.yaml").write_text(json.dumps({"load_from": servers}))

    def server(self, location: Location, port: int) -> Process:
        """The code server of a location."""
        where = ["--host", HOST, "--port", str(port), "--working-directory", str(_SOURCES)]
        command = [sys.executable, "-m", "dagster", "api", "grpc", *where, "-m", location.module]
        return self.process(f"code-server-{port}", command, location.environment)

    def process(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Process:
        """One process; what it prints is kept for as long as the services are."""
        self._said[name] = self._services.place.said / f"{self._name}-{name}"
        return Process(
            command,
            self._environment | dict(environment),
            self._services.place.temporary,
            self._said[name],
        )

    @contextmanager
    def telling_failures(self) -> Iterator[None]:
        """Shows, where a measurement is given up, how what the processes printed ends."""
        try:
            yield
        except SystemExit:
            for name, said in self._said.items():
                print(f"{self._name} {name}: {last_lines(said)}", file=sys.stderr)
            raise


def _answers(server: Process, port: int) -> bool:
    if not server.is_alive():
        raise SystemExit("a code server ended by itself")
    with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
        return True
    return False
