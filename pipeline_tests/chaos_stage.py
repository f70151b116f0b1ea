"""A stage of chaos with real processes and a real proxy, and no services behind them."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psycopg

from chaos.errands import Errand
from chaos.feed import chaos_feeds
from chaos.outages import Mend
from chaos.processes import Process
from chaos.proxy import PostgresProxy
from chaos.workers import Moment, Worker
from pipeline.local.queue.faults import Rule

SLEEP: Final = [sys.executable, "-c", "import time; time.sleep(600)"]


class Warehouse:
    """One that counts its lives, and whose server cannot be reached."""

    url = "postgresql://nobody@127.0.0.1:1/none"

    def __init__(self) -> None:
        self.lives = 1
        self.alive = True

    def is_alive(self) -> bool:
        """As `chaos.warehouse.Warehouse`."""
        return self.alive

    def kill(self) -> None:
        """As `chaos.warehouse.Warehouse`."""
        self.alive = False


class StandIn:
    """As `chaos.stage.Stage`, as far as faults need it.

    Args:
        folder: For what its processes print.
    """

    def __init__(self, folder: Path) -> None:
        self.feeds = chaos_feeds()
        self.warehouse = Warehouse()
        self.proxy = PostgresProxy(lambda: ("127.0.0.1", 1))
        names = ("daemon", "code server", "REST service", "web server")
        self.processes = {name: Process(SLEEP, {}, folder, folder / name) for name in names}
        self.children: list[subprocess.Popen[bytes]] = []
        self.moments: dict[str, Moment] = {}
        self.stopped: set[str] = set()
        self.held: int | None = 0
        self.again: list[str] = []
        self.rules: list[int] = []
        self.run_errands: list[Errand] = []

    @property
    def code_server(self) -> "_Pids":
        """Knows the run workers by their ids."""
        return _Pids(self.children)

    @property
    def workers(self) -> "StandIn":
        """Knows them by their runs."""
        return self

    @property
    def errands(self) -> "StandIn":
        """Runs commands."""
        return self

    def run(self, errand: Errand) -> Mend | None:
        """As `chaos.errands.Errands`: one at a time."""
        if errand in self.run_errands:
            return None
        self.run_errands.append(errand)
        return lambda: self.run_errands.remove(errand)

    def look(self) -> list[Worker]:
        """As `chaos.workers.Workers`: one that was killed is still among them."""
        feed = self.feeds[0].name
        return [
            Worker(child.pid, run_id, feed, moment)
            for child, (run_id, moment) in zip(self.children, self.moments.items(), strict=True)
        ]

    def moment(self, run_id: str) -> Moment:
        """As `chaos.workers.Workers`."""
        return self.moments[run_id]

    def in_flight(self, _feed: str) -> int | None:
        """As `chaos.stage.Stage`."""
        return self.held

    def launch_again(self, run_id: str) -> None:
        """As `chaos.stage.Stage`."""
        self.again.append(run_id)

    def spoil_queue(self, rules: Sequence[Rule]) -> None:
        """As `chaos.stage.Stage`."""
        self.rules.append(len(rules))

    def start_warehouse(self) -> None:
        """As `chaos.stage.Stage`; Postgres comes up at the second try."""
        if not self.warehouse.alive and self.warehouse.lives % 2:
            self.warehouse.lives += 1
            raise psycopg.OperationalError
        self.warehouse.alive = True
        self.warehouse.lives += 1

    def add_worker(self, moment: Moment) -> subprocess.Popen[bytes]:
        """Starts a run worker that is at something."""
        self.children.append(subprocess.Popen(SLEEP))
        self.moments[f"run {len(self.children)}"] = moment
        return self.children[-1]


class _Pids:
    def __init__(self, children: list[subprocess.Popen[bytes]]) -> None:
        self._children = children

    def workers(self) -> list[int]:
        return [child.pid for child in self._children if child.poll() is None]
