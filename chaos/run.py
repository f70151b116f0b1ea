"""One chaos run from start to end: traffic and faults, the drain, the oracles, the report."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chaos.accepted import AcceptedLog, Answer
from chaos.breaking import Breaker
from chaos.feed import chaos_feed
from chaos.identity import identity_of
from chaos.judge import judge
from chaos.place import HOST, Place
from chaos.progress import Progress
from chaos.queue_faults import RULES
from chaos.report import Happened, Order, Report, Witnessed
from chaos.schedule import Fault, plan
from chaos.senders import OverRest, OverSqs, Sender, Way
from chaos.stage import Stage
from chaos.traffic import Traffic
from pipeline.produce.rest_client import RestClient
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.canaries import Canaries

_TICK: Final = 0.1
_TELL: Final = 10.0
_OVER_REST: Final = 0.1  # of the messages; each costs as much as ten over SQS
_SQS_SENDERS: Final = 2
_APART: Final = 10**9  # events of one sender at most
_KILLS: Final = (Fault.KILL_WORKER, Fault.TERMINATE_WORKER)


class ChaosRun:
    """A run in a folder of its own.

    Args:
        order: What is asked for.
        root: The folder, empty and private.
    """

    def __init__(self, order: Order, root: Path) -> None:
        self._order = order
        self._feed = chaos_feed()
        self._canaries = Canaries()
        self._stage = Stage(Place(root), self._feed, order.seed)
        self._senders: list[Sender] = []
        self._died: list[str] = []

    def run(self) -> Report:
        """Everything; whatever happens, no process is left behind."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._stage.end)
            self._stage.start()
            stack.enter_context(self._sending())
            self._stage.spoil_queue(RULES)
            breaker = self._break()
            self._stop_sending()
            breaker.mend_all()
            self._stage.spoil_queue(())
            drained = self._drain()
            happened = self._happened(breaker, drained)
            return judge(self._order, self._stage, self._feed, self._canaries, happened=happened)

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Starts the senders; at the end they are stopped whatever happened."""
        identity = identity_of(self._feed, self._stage.keyring.settlement_key(self._feed.name))
        rest_url = f"http://{HOST}:{self._stage.rest_port}"
        over_sqs = self._order.rate * (1 - _OVER_REST) / _SQS_SENDERS
        with RestClient(rest_url, None) as client:
            ways: list[tuple[Way, float]] = [
                (OverSqs(SqsQueue(self._stage.client(), self._feed)), over_sqs)
                for _ in range(_SQS_SENDERS)
            ]
            rest = OverRest(client, self._feed.name), self._order.rate * _OVER_REST
            for place, (way, rate) in enumerate([*ways, rest]):
                rng = random.Random(f"{self._order.seed}/sender/{place}")  # noqa: S311 - sample data
                traffic = Traffic(
                    self._feed,
                    self._canaries,
                    identity,
                    first=place * _APART,
                    prefix=way.prefix,
                    sound=way.sound,
                    rng=rng,
                )
                log = AcceptedLog(self._stage.place.accepted / str(place))
                self._senders.append(Sender(way, traffic, log, rate))
            for sender in self._senders:
                sender.start()
            try:
                yield
            finally:
                self._stop_sending()

    def _stop_sending(self) -> None:
        for sender in self._senders:
            sender.stop()
            if sender.failure is not None:
                raise sender.failure

    def _break(self) -> Breaker:
        """Breaks things for the minutes that were ordered."""
        seconds = self._order.minutes * 60
        started = time.monotonic()

        def elapsed() -> float:
            return time.monotonic() - started

        strikes = plan(self._order.seed, seconds)
        rng = random.Random(f"{self._order.seed}/breaker")  # noqa: S311 - no key
        progress = Progress(self._stage.count_batches, elapsed)
        breaker = Breaker(self._stage, strikes, elapsed, rng=rng, starving=progress.starving)
        told = 0.0
        while elapsed() < seconds:
            breaker.tick()
            self._look_after(breaker)
            if elapsed() - told >= _TELL:
                told = elapsed()
                self._tell(f"{told:5.0f} s of {seconds:.0f}", breaker)
            time.sleep(_TICK)
        return breaker

    def _look_after(self, breaker: Breaker) -> None:
        """Notices, and starts again, what has ended though nobody has ended it."""
        for name, process in self._stage.processes.items():
            if not process.is_alive() and name not in breaker.down:
                self._died.append(name)
                process.start()

    def _drain(self) -> float | None:
        """Seconds until the queue is empty and no run is at work; None if that takes too long."""
        started = time.monotonic()
        for process in self._stage.processes.values():
            process.start()
        told = drained = 0.0
        while (elapsed := time.monotonic() - started) < self._order.drain_minutes * 60:
            depth = self._stage.depth(self._feed.queue)
            if depth == 0 and drained == 0.0:
                drained = elapsed
            if depth == 0 and not self._stage.code_server.workers():
                return drained
            if elapsed - told >= _TELL:
                told = elapsed
                print(f"{elapsed:5.0f} s of draining, {depth:,} messages left", flush=True)
            time.sleep(_TICK * 5)
        return None

    def _happened(self, breaker: Breaker, drained: float | None) -> Happened:
        told = self._stage.queue_counts()
        seen = told["witness"]
        sent: Counter[str] = Counter()
        for sender in self._senders:
            sent.update({answer.value: count for answer, count in sender.log.counts.items()})
        return Happened(
            sent=dict(sent),
            planned={fault.value: breaker.planned[fault] for fault in Fault},
            faults={fault.value: breaker.done[fault] for fault in Fault},
            queue_faults=told["faults"],
            worker_kills=sum(breaker.done[fault] for fault in _KILLS),
            postgres_kills=breaker.done[Fault.KILL_POSTGRES],
            restarts={
                name: len(process.groups) - 1 for name, process in self._stage.processes.items()
            },
            drain_seconds=drained,
            died=self._died,
            witnessed=Witnessed(seen=seen["seen"], early=len(seen["violations"])),
        )

    def _tell(self, when: str, breaker: Breaker) -> None:
        accepted = sum(sender.log.counts[Answer.ACCEPTED] for sender in self._senders)
        depth = self._stage.depth(self._feed.queue)
        workers = len(self._stage.code_server.workers())
        faults = breaker.done.total()
        print(
            f"{when}: {accepted:,} accepted, {depth:,} on the queue, {workers} workers,"
            f" {faults} faults",
            flush=True,
        )
