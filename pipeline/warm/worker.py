"""A warm worker: imports everything, then executes runs in forks of itself."""

import gc
import logging
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType

import dagster as dg
import pandas as pd  # noqa: F401 - runs import it late, and so each child would
from celery import Celery, signals  # type: ignore[import-untyped] # it has no annotations
from celery.worker import state  # type: ignore[import-untyped] # as above

from pipeline.definitions import defs  # with all that a run imports
from pipeline.errors import PipelineError, SettingsError
from pipeline.warm.app import check_broker, check_results, make_worker_app
from pipeline.warm.broker import QUEUE, read_broker
from pipeline.warm.launcher import WarmRunLauncher


class Ending:
    """The first signal lets the run in flight end; the second ends all at once.

    Args:
        grace: Seconds for a run to end by itself. Then it is interrupted, and releases what it
            holds.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._signals = 0
        signal.signal(signal.SIGALRM, self._interrupt)

    def hear(self, **_: object) -> None:
        """Within a signal's handler: nothing here may wait for a lock."""
        self._signals += 1
        if self._signals > 1:
            os._exit(128 + signal.SIGTERM)  # its children end with it
        signal.setitimer(signal.ITIMER_REAL, max(self._grace, 0.001))

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        for request in tuple(state.active_requests):
            if request.worker_pid:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(request.worker_pid, signal.SIGTERM)


def work(environment: Mapping[str, str], *, concurrency: int, grace: float) -> int:
    """Executes runs until a signal comes; the exit status.

    Args:
        environment: The settings.
        concurrency: Runs at the same time: each holds a batch in memory.
        grace: As of `Ending`.

    Raises:
        SettingsError: Broker or instance are not set, or another launcher is.
        BrokerError: The broker, or what keeps the results, does not answer.
    """
    broker = read_broker(environment)
    app = make_worker_app(broker)
    check_broker(app, broker)
    check_results(app)
    _check_instance(environment)
    defs()  # a contract that does not hold is told here, and not by each run
    gc.freeze()  # or each child's collector would make copies of all these pages
    ending = Ending(grace)
    signals.worker_shutting_down.connect(ending.hear, weak=False)
    signals.worker_process_init.connect(_leave_terminal, weak=False)
    signals.worker_ready.connect(_take_sigint, weak=False)
    return _serve(app, concurrency)


def _serve(app: Celery, concurrency: int) -> int:
    worker = app.Worker(
        concurrency=concurrency,
        queues=[QUEUE],
        loglevel=logging.WARNING,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _check_instance(environment: Mapping[str, str]) -> None:
    if not environment.get("DAGSTER_HOME"):
        raise SettingsError(
            "DAGSTER_HOME is not given",
            remedy="Set it to the folder with the dagster.yaml that daemon and web server use",
        )
    try:
        with dg.DagsterInstance.get() as instance:
            launcher = instance.run_launcher
    except PipelineError:
        raise
    except Exception as error:  # noqa: BLE001 - a driver's error may quote the URL
        raise SettingsError(
            f"Dagster's instance does not open ({type(error).__name__})",
            remedy="Check DAGSTER_HOME, its dagster.yaml, and that its database answers",
        ) from None
    if not isinstance(launcher, WarmRunLauncher):
        raise SettingsError(
            f"dagster.yaml launches runs by {type(launcher).__name__}",
            remedy="Set PIPELINE_LAUNCHER=celery with deploy/dagster.yaml: no run would come here",
        )


def _leave_terminal(**_: object) -> None:
    """A child hears of Ctrl-C from its parent alone, which gives it its time of grace."""
    os.setpgid(0, 0)


def _take_sigint(**_: object) -> None:
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
