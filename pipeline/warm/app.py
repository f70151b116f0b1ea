"""The Celery app of warm workers, and what their task does around a run."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
from celery import Celery, Task  # type: ignore[import-untyped] # it has no annotations
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster._utils.interrupts import capture_interrupts
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task

from pipeline.errors import BrokerError, PipelineError, SettingsError, values_kept_out
from pipeline.warm.broker import BROKER, QUEUE, RESULTS, VISIBILITY_SECONDS, Broker

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

_LOOK_SECONDS: Final = 5.0
_LEAST_VISIBILITY: Final = 3_600  # seconds: four times what Dagster lets a batch take
_OVER: Final = {
    dg.DagsterRunStatus.CANCELING,
    dg.DagsterRunStatus.CANCELED,
    dg.DagsterRunStatus.FAILURE,
}
_log = logging.getLogger(__name__)


def make_worker_app(broker: Broker) -> Celery:
    """The app that workers execute runs by; it knows this one task."""
    app = make_app(  # type: ignore[no-untyped-call] # as above
        app_args={
            "broker": broker.url,
            "backend": broker.results,
            "config_source": broker.config,
            "task_default_queue": QUEUE,
        }
    )
    # Of this app alone: else each app that is made later in this process would have it as well.
    create_execute_job_task(app, base=RunTask, shared=False)  # type: ignore[arg-type] # it says dict for any
    return app


class RunTask(Task):  # type: ignore[misc] # as above
    """A run that tells Celery nothing of what it held, and ends once Dagster says so."""

    def __call__(self, *args: Any, **named: Any) -> object:  # noqa: ANN401 - as Celery hands them on
        """Executes the run whose id is among the arguments."""
        run_id = unpack_value(named["execute_job_args_packed"], as_type=ExecuteRunArgs).run_id
        _log.info("run %s begins in process %d", run_id, os.getpid())
        with (
            _signals_as_before(),
            values_kept_out(stage="run"),
            capture_interrupts(),
            _interrupted_once_over(run_id),
        ):
            return super().__call__(*args, **named)


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """Puts SIGTERM back: where SIGINT is ignored, Dagster leaves it ignored as well."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _interrupted_once_over(run_id: str) -> Iterator[None]:
    """Interrupts this process where Dagster says that the run is cancelled, or has failed.

    Celery's own way, a broadcast to all workers, does not exist on SQS. A run that is interrupted
    releases what it holds.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            # The database may be away, and the run go on without it.
            with suppress(Exception), dg.DagsterInstance.get() as instance:
                while not _is_over(instance, run_id):
                    if over.wait(_LOOK_SECONDS):
                        return
                os.kill(os.getpid(), signal.SIGINT)
                return

    watcher = threading.Thread(target=watch, name="watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.status in _OVER


def check_broker(app: Celery, broker: Broker) -> None:
    """Asks the broker for the queue on which runs wait; makes it where there is none yet.

    Raises:
        BrokerError: The broker does not answer, or refuses.
        SettingsError: SQS would deliver a run again while it goes on.
    """
    try:
        with closing(app.connection_for_read()) as connection:
            connection.ensure_connection(max_retries=1, timeout=10)
            channel = connection.default_channel
            app.amqp.queues[QUEUE].bind(channel).declare()
            if broker.queue_url is not None:
                _check_visibility(channel.sqs(QUEUE), broker.queue_url)
    except PipelineError:
        raise
    except Exception as error:  # noqa: BLE001 - each transport has its own, and some quote the URL
        raise broker_error(error) from None


def check_results(app: Celery) -> None:
    """Removes the results of past days, where their place does not do so itself.

    Raises:
        BrokerError: It does not answer, or refuses.
    """
    try:
        app.backend.cleanup()
    except Exception as error:  # noqa: BLE001 - as above
        raise BrokerError(
            f"results of the warm workers cannot be kept ({type(error).__name__})",
            remedy=f"Check {RESULTS}, and that its log-in may make tables there",
        ) from None


def _check_visibility(sqs: "SQSClient", url: str) -> None:
    name: Final = "VisibilityTimeout"
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])
    if int(answer["Attributes"][name]) < _LEAST_VISIBILITY:
        raise SettingsError(
            f"the queue on which runs wait delivers again after {answer['Attributes'][name]} s",
            remedy=f"Set its {name} to {VISIBILITY_SECONDS}, the most that it takes",
        )


def broker_error(error: Exception) -> BrokerError:
    """What is told of a transport's error, whose text may quote the broker's URL."""
    return BrokerError(
        f"the broker of the warm workers does not answer, or refuses ({type(error).__name__})",
        remedy=f"Check {BROKER}, its log-in and the network; nothing is lost",
    )
