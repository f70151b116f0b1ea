"""Scene 4: warm workers under Dagster: its daemon asks, Celery hands over, they execute."""

import random
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from chaos.place import HOST, free_port
from chaos.processes import Process
from machines.faults import AT_RANDOM, Struck, cut_some
from machines.filling import Filling
from machines.growth import ANSWER_SECONDS, Round, watch
from machines.machine import Machine
from machines.network import Network
from machines.rate import rate
from machines.stage import SOURCES, Stage
from pipeline.crash_points import CrashPoint

BIN: Final = Path(sys.executable).parent
WARM_WORKER: Final = (str(BIN / "pipeline"), "worker", "--grace", "0.2")
"""What is started on each machine."""

_INSTANCE: Final = SOURCES / "deploy" / "dagster.yaml"
_READY: Final = " ready."
_LIMIT: Final = re.compile(r"^(\s+(?:max_concurrent_runs|limit): )\d+$", re.MULTILINE)
_RUNS: Final = "runs"
_HALF_A_DAY: Final = "43200"  # seconds, as pipeline/warm wants it of the queue of runs
_PATIENCE: Final = 300.0  # seconds
_GLANCE_SECONDS: Final = 0.25


def instance_for(shipped: str, runs: int) -> str:
    """The instance that is shipped for warm workers, with room for so many runs.

    Args:
        shipped: `deploy/dagster.yaml`.
        runs: That may be at work together.
    """
    return _LIMIT.sub(rf"\g<1>{runs}", shipped)


class Warm:
    """A daemon and a code server in the hub, a warm worker on each machine.

    Args:
        stage: The services; the plain queue is used, and left empty.
        network: Of the machines.
        count: How many machines.
        filling: The messages.
        tell: Gets a line for each round and scene.
    """

    def __init__(
        self,
        stage: Stage,
        network: Network,
        count: int,
        filling: Filling,
        tell: Callable[[str], None],
    ) -> None:
        self._stage, self._filling, self._tell = stage, filling, tell
        place = stage.place
        said = place.said / "warm"
        said.mkdir(mode=0o700)
        self.machines = [
            Machine(number, network, place.temporary, said, WARM_WORKER)
            for number in range(1, count + 1)
        ]

    def start(self) -> None:
        """Starts what stands in the hub; the daemon stands still until a round begins."""
        stage = self._stage
        home = stage.place.dagster
        home.mkdir(mode=0o700)
        (home / "dagster.yaml").write_text(instance_for(_INSTANCE.read_text(), len(self.machines)))
        history = stage.make_database("history")
        made = stage.plain.client.create_queue(
            QueueName=_RUNS, Attributes={"VisibilityTimeout": _HALF_A_DAY}
        )
        self._environment = stage.environment(stage.plain) | {
            "DAGSTER_HOME": str(home),
            "DAGSTER_POSTGRES_URL": history,
            "PIPELINE_LAUNCHER": "celery",
            "PIPELINE_CELERY_BROKER": "sqs://",
            "PIPELINE_CELERY_QUEUE_URL": made["QueueUrl"],
            "PIPELINE_CELERY_RESULTS": history,
        }
        self._daemon = self._start_dagster(home)
        self._daemon.send(signal.SIGSTOP)

    def grow(self, messages: int) -> list[Round]:
        """One round for each number of workers from one on."""
        rounds = []
        for workers, machine in enumerate(self.machines, start=1):
            machine.start(self._environment)
            machine.wait_until_told(_READY)
            self._filling.fill(self._stage.plain, messages)
            rounds.append(self._round(self.machines[:workers], messages))
            self._tell(f"{workers} warm at work: {rounds[-1].rate:,.0f} events/s")
        return rounds

    def break_some(self, messages: int, cuts: int, rng: random.Random) -> list[Struck]:
        """Loses a machine with a batch in hand; then cuts some off at random moments.

        Args:
            messages: For each of the two.
            cuts: How many; 0 leaves them out.
            rng: Decides which machines, when, and for how long.
        """
        lost = self.machines[1]
        others = [each for each in self.machines if each is not lost]
        self._start_only(lost)

        def lose() -> int:
            lost.wait_until_told(f"SIGSTOP at {CrashPoint.AFTER_MASK}")
            held = self._held()  # nobody else is at work
            lost.lose()
            for machine in others:
                machine.start(self._environment)
            return held

        struck = [self._strike("warm: lost with a masked batch in hand", messages, lose, others)]
        lost.start(self._environment)
        lost.wait_until_told(_READY)
        if cuts:
            what = f"warm: {cuts} {AT_RANDOM}"

            def cut() -> int:
                self._wait_until(lambda: self._held() > 0, "nothing is received")
                return cut_some(self.machines, self._held, cuts, rng)

            struck.append(self._strike(what, messages, cut, self.machines))
        return struck

    def _start_only(self, machine: Machine) -> None:
        """Leaves one worker alone, which stops itself with its first batch in hand."""
        for each in self.machines:
            each.lose()
        machine.start(self._environment, stops_at=CrashPoint.AFTER_MASK)
        machine.wait_until_told(_READY)

    def close(self) -> None:
        """Ends the workers; what stands in the hub is ended with the stage."""
        for machine in self.machines:
            machine.end()

    def _round(self, machines: Sequence[Machine], messages: int) -> Round:
        stage = self._stage
        stage.plain.answer_after(ANSWER_SECONDS)
        began = stage.now()
        self._daemon.send(signal.SIGCONT)
        parts = {
            "workers": [each.pid for each in machines],
            "Dagster": [stage.processes[name].groups[-1] for name in ("daemon", "code server")],
        }
        work = watch(stage, parts, began, messages)
        self._daemon.send(signal.SIGSTOP)
        stage.plain.answer_after(0)
        return Round.of(len(machines), messages, rate(stage.settled(began)), work)

    def _strike(
        self,
        what: str,
        messages: int,
        strike: Callable[[], int],
        survivors: Sequence[Machine],
    ) -> Struck:
        stage = self._stage
        self._filling.fill(stage.plain, messages)
        began = stage.now()
        self._daemon.send(signal.SIGCONT)
        since = time.monotonic()
        held = strike()
        cut_for = time.monotonic() - since
        self._wait_until(lambda: stage.depth(stage.plain) == 0, "the queue is not emptied")
        drained = time.monotonic() - since
        self._daemon.send(signal.SIGSTOP)
        struck = Struck(
            what=what,
            held=held,
            away=cut_for if len(survivors) == len(self.machines) else drained,
            drained=drained,
            account=asdict(stage.progress(began)),
            is_back=all(each.is_alive() for each in survivors),
        )
        self._tell(f"{what}: held {held:,}, drained after {struck.drained:.0f} s")
        return struck

    def _wait_until(self, come: Callable[[], bool], otherwise: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not come():
            if time.monotonic() > deadline:
                raise SystemExit(f"machines: {otherwise} by the warm workers")
            time.sleep(_GLANCE_SECONDS)

    def _held(self) -> int:
        return self._stage.held(self._stage.plain)

    def _start_dagster(self, home: Path) -> Process:
        """Starts the code server, then the daemon; the daemon."""
        port = free_port()
        workspace = home / "workspace.yaml"
        workspace.write_text(
            f"load_from:\n  - grpc_server:\n      host: {HOST}\n      port: {port}\n"
            "      location_name: machines\n"
        )
        python = [sys.executable, "-m", "dagster"]
        server = ["api", "grpc", "--host", HOST, "--port", str(port)]
        module = ["-m", "machines.deployed", "--working-directory", str(SOURCES)]
        self._stage.add("code server", [*python, *server, *module], self._environment)
        self._stage.wait_for_port(port)
        daemon = [sys.executable, str(BIN / "dagster-daemon"), "run", "--workspace", str(workspace)]
        return self._stage.add("daemon", daemon, self._environment)
