"""A run that is interrupted at the worst moment tells nothing of what it had in hand."""

import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Final

import dagster as dg
import psycopg
import pytest
from psycopg.transaction import Transaction

from pipeline.consume.asset import ingest
from pipeline.contract import Feed, Field
from pipeline.masking.policies import Keep
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import Text
from pipeline_tests.samples import CANARY, small
from pipeline_tests.world import World

PEOPLE: Final = small(
    Feed(
        name="people",
        description="A personal field that the table keeps, and so the driver's errors hold.",
        queue="login-queue",
        table="people",
        fields=(Field("name", Text(40), Keep(reason="to be found in an error"), personal=True),),
    )
)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """This process gets SIGTERM when the driver is about to undo what a row made fail; how often.

    Patched, since no other moment of a run is that short.
    """
    leave: Callable[..., bool] = Transaction.__exit__
    times: list[int] = []

    def interrupt(
        self: Transaction,
        kind: type[BaseException] | None,
        error: BaseException | None,
        place: TracebackType | None,
    ) -> bool:
        if isinstance(error, psycopg.errors.CheckViolation) and not times:
            times.append(1)
            os.kill(os.getpid(), signal.SIGTERM)
        return leave(self, kind, error, place)

    monkeypatch.setattr(Transaction, "__exit__", interrupt)
    return times


def events(feed: Feed) -> list[str]:
    """All that Dagster stores of a run in this process."""
    around = dg.Definitions(
        resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
        executor=dg.in_process_executor,
    )
    job = dg.Definitions.merge(ingest(feed), around).resolve_job_def(f"ingest_{feed.name}")
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(dg.DagsterExecutionInterruptedError):
            job.execute_in_process(instance=instance)
        (run,) = instance.get_runs()
        return [str(entry) for entry in instance.all_logs(run.run_id)]


def test_what_the_driver_had_just_refused_is_in_no_event(
    world: World, interrupted: list[int]
) -> None:
    """Invariant P: an interrupt is raised in the course of the driver's error, which has values."""
    world.query(f"CREATE TABLE people (name varchar(40) CHECK (name NOT LIKE '{CANARY}%'))")
    world.send([f'{{"name": "{name}"}}' for name in (CANARY, "ann")])

    stored = events(PEOPLE)

    assert interrupted
    assert any("DagsterExecutionInterruptedError" in each for each in stored)
    assert [each for each in stored if CANARY in each] == []
    assert world.query("SELECT count(*) FROM people") == [(0,)]
    assert sum(world.depth()) == 2
