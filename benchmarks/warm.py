"""How long a run takes from its launch to its success: cold, by Dagster's default, and warm."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

import boto3
import dagster as dg
import psycopg
import typer
from dagster._core.workspace.context import BaseWorkspaceRequestContext, WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget

from benchmarks.warm_jobs import defs
from pipeline import feeds
from pipeline.local import services
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.seed import seed
from pipeline.resources.outside import Outside
from pipeline.resources.settings import without_services
from pipeline_tests.samples import eventually
from pipeline_tests.world import settings

_CHECKOUT: Final = Path(__file__).parents[1]
_JOBS: Final = "benchmarks.warm_jobs"
_FEED: Final = "user_logins"
_PATIENCE: Final = 120.0  # seconds for one run
_BOTH: Final = ("idle", f"ingest_{_FEED}")
_OVER: Final = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


@dataclass(frozen=True)
class Launching:
    """A way to have runs executed.

    Attributes:
        instance: Launches them.
        workspace: The code server, as the instance knows it.
        executing: The process of which those of runs are children.
    """

    instance: dg.DagsterInstance
    workspace: BaseWorkspaceRequestContext
    executing: int


def warm(
    messages: Annotated[int, typer.Option(help="Messages of each run that ingests.")] = 1_000,
    rounds: Annotated[int, typer.Option(help="Rounds; the medians count.")] = 5,
) -> None:
    """Launch an idle run and one that ingests, by the default launcher and to a warm worker."""
    if not Path("/proc/self/smaps_rollup").exists():
        print("warm: memory and time of processes are read from /proc, which is not here")
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as name:
        folder = Path(name)
        try:
            _set_up(folder)
            with _worker(folder) as worker:
                _print_memory(worker)
                _compare(folder, worker, messages, rounds)
        finally:
            services.stop(folder / "local")


def _set_up(folder: Path) -> None:
    """The embedded services, as real ones are set, and an instance for each launcher."""
    found = services.ensure_running(folder / "local")
    with psycopg.connect(found.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE history")
    history = f"{found.postgres_url.rpartition('/')[0]}/history"
    environment = settings(found.sqs_endpoint, found.postgres_url, folder)
    for each in set(os.environ) - set(without_services(os.environ)):
        del os.environ[each]
    os.environ |= {each: value for each, value in environment.items() if each != "PATH"}
    client = boto3.client("sqs", region_name="us-east-1")
    client.create_queue(QueueName=feeds.find(_FEED).queue)
    runs = client.create_queue(QueueName="runs", Attributes={"VisibilityTimeout": "43200"})
    os.environ |= {
        "DAGSTER_POSTGRES_URL": history,
        "PIPELINE_LAUNCHER": "celery",
        "PIPELINE_CELERY_BROKER": "sqs://",
        "PIPELINE_CELERY_QUEUE_URL": runs["QueueUrl"],
        "PIPELINE_CELERY_RESULTS": history,
    }
    shipped = (_CHECKOUT / "deploy" / "dagster.yaml").read_text()
    launcher = shipped.index("run_launcher:"), shipped.index("compute_logs:")
    for kind, text in (
        ("warm", shipped),
        ("cold", shipped[: launcher[0]] + shipped[launcher[1] :]),
    ):
        (folder / kind).mkdir()
        (folder / kind / "dagster.yaml").write_text(text)


@contextmanager
def _worker(folder: Path) -> Iterator[int]:
    """A worker that is ready; its process."""
    said = folder / "worker.log"
    with said.open("wb") as printed:
        process = subprocess.Popen(  # noqa: S603 - the project's own command
            [str(Path(sys.executable).with_name("pipeline")), "worker"],
            env={**os.environ, "DAGSTER_HOME": str(folder / "warm")},
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: b" ready." in said.read_bytes(), patience=_PATIENCE)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _print_memory(worker: int) -> None:
    """What an idle worker and its child take: pages that they share count once."""
    family = (worker, *sorted(_children(worker)))
    shares = [_share(pid) for pid in family]
    parts = " + ".join(f"{share:.0f}" for share in shares)
    print(f"idle worker: {sum(shares):.0f} MiB (the worker and its child: {parts})")


def _share(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("Pss:")).split()[1]) / 1024


def _compare(folder: Path, worker: int, messages: int, rounds: int) -> None:
    took: dict[tuple[str, str], list[tuple[float, float]]] = {}
    with _launching(folder / "cold") as cold, _launching(folder / "warm") as other:
        ready = replace(other, executing=worker)
        for place in range(rounds + 1):
            for kind, launching in (("cold", cold), ("warm", ready)):
                for job in _BOTH:
                    if job != "idle":
                        _fill(messages)
                    seconds, busy = _run(launching, job)
                    if place:  # the first time also makes tables, connections and the like
                        took.setdefault((job, kind), []).append((seconds, busy))
                        print(f"{kind} {job:<20} {seconds:6.2f} s, {busy:5.2f} s of a core")
    for job in _BOTH:
        for kind in ("cold", "warm"):
            clock, cores = (sorted(each) for each in zip(*took[job, kind], strict=True))
            print(
                f"{job}, {kind}: {statistics.median(clock):.1f} s ({clock[0]:.1f} to"
                f" {clock[-1]:.1f}), {statistics.median(cores):.1f} s of a core"
            )


@contextmanager
def _launching(home: Path) -> Iterator[Launching]:
    """An instance, and the code server, of which the default launcher's processes are children."""
    os.environ["DAGSTER_HOME"] = str(home)
    target = ModuleTarget(
        module_name=_JOBS,
        attribute=None,
        working_directory=str(_CHECKOUT),
        location_name="benchmark",
    )
    before = _children(os.getpid())
    with (
        dg.DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, target, code_server_log_level="ERROR") as process,
    ):
        (server,) = _children(os.getpid()) - before
        yield Launching(instance, process.create_request_context(), server)


def _children(pid: int) -> set[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for thread in threads for child in thread.read_text().split()}


def _busy(pid: int) -> float:
    """Seconds of a core that a process and its children have used, dead ones included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks = sum(int(each) for each in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK") + sum(_busy(child) for child in _children(pid))
    except (FileNotFoundError, ProcessLookupError):
        return 0.0  # its parent has counted it by now


def _fill(messages: int) -> None:
    feed = feeds.find(_FEED)
    queue = Outside.of(os.environ).queue_for_a_run(feed)
    seed(queue, generate(feed, Recipe(count=messages)), progress=lambda _sent: None)


def _run(launching: Launching, job: str) -> tuple[float, float]:
    """Seconds from the launch of a run to its success, and those of a core until its end."""
    instance = launching.instance
    location = launching.workspace.get_code_location("benchmark")
    (repository,) = location.get_repositories().values()
    found = repository.get_full_job(job)
    run = instance.create_run_for_job(
        defs().resolve_job_def(job),
        remote_job_origin=found.get_remote_origin(),
        job_code_origin=found.get_python_origin(),
    )
    before = _busy(launching.executing)
    started = time.perf_counter()
    instance.launch_run(run.run_id, launching.workspace)
    eventually(lambda: _status(instance, run.run_id) in _OVER, patience=_PATIENCE)
    seconds = time.perf_counter() - started
    if _status(instance, run.run_id) is not dg.DagsterRunStatus.SUCCESS:
        raise SystemExit(f"a run of {job} failed: the figure would be wrong")
    # One child stays: a worker's own, or a code server's resource tracker.
    eventually(lambda: len(_children(launching.executing)) <= 1, patience=_PATIENCE)
    return seconds, _busy(launching.executing) - before


def _status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus | None:
    run = instance.get_run_by_id(run_id)
    return None if run is None else run.status
