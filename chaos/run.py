"""One chaos run from start to end: traffic and faults, the drain, the oracles, the report."""

import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from chaos.accepted import AcceptedLog, Answer
from chaos.breaking import Breaker
from chaos.feed import DEAD_LETTERS, FEED, chaos_feeds
from chaos.identity import identity_of
from chaos.judge import judge
from chaos.place import HOST, Place
from chaos.progress import Progress
from chaos.queue_faults import RULES
from chaos.report import Happened, Order, Report
from chaos.schedule import Fault, plan
from chaos.senders import OverRest, OverSqs, Sender, Way
from chaos.stage import Stage
from chaos.traffic import Traffic
from chaos.verdicts import Witnessed
from chaos.workers import Moment
from pipeline.contract import Feed
from pipeline.produce.rest_client import RestClient
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.canaries import Canaries

_TICK: Final = 0.1
_TELL: Final = 10.0
_OVER_REST: Final = 0.1  # of the messages; each costs as much as ten over SQS
_LETTERS: Final = 0.5  # messages a second that are put where SQS puts what failed too often
_APART: Final = 10**9  # events of one sender at most


class ChaosRun:
    """A run in a folder of its own.

    Args:
        order: What is asked for.
        root: The folder, empty and private.
    """

    def __init__(self, order: Order, root: Path) -> None:
        self._order = order
        self._feeds = chaos_feeds()
        self._canaries = Canaries()
        self._stage = Stage(Place(root), self._feeds, order.seed)
        self._senders: list[Sender] = []
        self._died: list[str] = []
        self._hung = 0

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
            faults_ended = datetime.now(UTC)
            drained = self._drain()
            loaded = self._stage.count_loaded(faults_ended)
            happened = self._happened(breaker, drained, loaded)
            return judge(self._order, self._stage, self._canaries, happened)

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Starts the senders; at the end they are stopped whatever happened."""
        rest_url = f"http://{HOST}:{self._stage.rest_port}"
        with RestClient(rest_url, None) as client:
            for place, (feed, way, rate) in enumerate(self._ways(client)):
                self._senders.append(self._sender(place, feed, way, rate))
            for sender in self._senders:
                sender.start()
            try:
                yield
            finally:
                self._stop_sending()

    def _ways(self, client: RestClient) -> Iterator[tuple[Feed, Way, float]]:
        """Each feed, the way to its queue, and messages a second."""
        over_rest = self._order.rate * _OVER_REST
        over_sqs = (self._order.rate - over_rest - _LETTERS) / len(self._feeds)
        for feed in self._feeds:
            yield feed, self._over_sqs(feed, feed.queue), over_sqs
        (first,) = (feed for feed in self._feeds if feed.name == FEED)
        yield first, OverRest(client, FEED), over_rest
        yield first, self._over_sqs(first, f"{first.queue}{DEAD_LETTERS}"), _LETTERS

    def _over_sqs(self, feed: Feed, queue: str) -> OverSqs:
        return OverSqs(SqsQueue(self._stage.client(), replace(feed, queue=queue)))

    def _sender(self, place: int, feed: Feed, way: Way, rate: float) -> Sender:
        traffic = Traffic(
            feed,
            self._canaries,
            identity_of(feed, self._stage.keyring.settlement_key(feed.name)),
            first=place * _APART,
            prefix=way.prefix,
            sound=way.sound,
            rng=random.Random(f"{self._order.seed}/sender/{place}"),  # noqa: S311 - sample data
        )
        log = AcceptedLog(self._stage.place.accepted / f"{feed.name}.{place}")
        return Sender(way, traffic, log, rate)

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
            self._look_after(breaker.down)
            if elapsed() - told >= _TELL:
                told = elapsed()
                self._tell(f"{told:5.0f} s of {seconds:.0f}", breaker)
            time.sleep(_TICK)
        return breaker

    def _look_after(self, down: Collection[str]) -> None:
        """Notices, and starts again, what has ended and is not among those that chaos ended.

        A code server that answers nobody is started anew, as it is where it has a liveness probe.
        """
        server, liveness = self._stage.code_server, self._stage.liveness
        if not server.is_alive():
            liveness.begin_anew()
        elif liveness.is_silent():
            self._hung += 1
            server.kill(signal.SIGKILL)
            server.start()
            liveness.begin_anew()
        for name, process in self._stage.processes.items():
            if not process.is_alive() and name not in down:
                self._died.append(name)
                process.start()

    def _drain(self) -> float | None:
        """Seconds until the queue is empty and no run is at work; None if that takes too long."""
        started = time.monotonic()
        for process in self._stage.processes.values():
            process.start()
        told = drained = 0.0
        while (elapsed := time.monotonic() - started) < self._order.drain_minutes * 60:
            self._look_after(frozenset())
            depth = sum(self._stage.depth(feed.queue) for feed in self._feeds)
            if depth == 0 and drained == 0.0:
                drained = elapsed
            if depth == 0 and not self._stage.at_work():
                return drained
            if elapsed - told >= _TELL:
                told = elapsed
                hidden = sum(self._stage.in_flight(feed.name) or 0 for feed in self._feeds)
                print(
                    f"{elapsed:5.0f} s of draining: {depth:,} messages left, {hidden:,} of them"
                    " hidden",
                    flush=True,
                )
            time.sleep(_TICK * 5)
        return None

    def _happened(self, breaker: Breaker, drained: float | None, loaded: int) -> Happened:
        told = self._stage.queue_counts()
        seen = told["witness"]
        sent: Counter[str] = Counter()
        for sender in self._senders:
            sent.update({answer.value: count for answer, count in sender.log.counts.items()})
        self._stage.errands.count()
        at = breaker.killed_at
        return Happened(
            sent=dict(sent),
            planned={fault.value: breaker.planned[fault] for fault in Fault},
            faults={fault.value: breaker.done[fault] for fault in Fault},
            queue_faults=told["faults"],
            killed_at={moment.value: at[moment] for moment in Moment},
            loaded_meanwhile=loaded,
            worker_kills=at.total() - at[Moment.STARTING],
            postgres_kills=breaker.done[Fault.KILL_POSTGRES],
            restarts={
                name: len(process.groups) - 1 for name, process in self._stage.processes.items()
            },
            hung=self._hung,
            drain_seconds=drained,
            died=self._died,
            witnessed=Witnessed(seen=seen["seen"], early=len(seen["violations"])),
            alerts=dict(self._stage.webhook.codes),
            errands=dict(self._stage.errands.ended),
        )

    def _tell(self, when: str, breaker: Breaker) -> None:
        accepted = sum(sender.log.counts[Answer.ACCEPTED] for sender in self._senders)
        hidden = [self._stage.in_flight(feed.name) for feed in self._feeds]
        workers = len(self._stage.code_server.workers())
        killed = breaker.killed_at
        print(
            f"{when}: {accepted:,} accepted, {hidden} in flight, {workers} workers,"
            f" {breaker.done.total()} faults, killed {killed.total()}"
            f" ({killed[Moment.STARTING]} early)",
            flush=True,
        )
