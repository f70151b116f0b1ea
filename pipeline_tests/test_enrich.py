"""A batch is enriched with bounded concurrency, each record for itself, and in bounded time."""

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Mapping

import pytest

from pipeline.enrichment import Record
from pipeline.errors import EnrichmentError
from pipeline_tests.enrich_case import ENOUGH, enriched, places
from pipeline_tests.samples import CANARY


@pytest.mark.parametrize("concurrency", [1, 7, 50])
def test_as_many_calls_are_under_way_as_allowed_and_no_more(concurrency: int) -> None:
    under_way, seen = 0, set()

    async def function(record: Record) -> Mapping[str, object]:
        nonlocal under_way
        under_way += 1
        seen.add(under_way)
        await asyncio.sleep(0.001)
        under_way -= 1
        return {"score": record["id"]}

    assert places(enriched(function, 100, concurrency=concurrency)) == list(range(100))
    assert max(seen) == concurrency


def test_a_batch_of_thousands_makes_as_many_tasks_as_calls_and_no_more() -> None:
    tasks: list[int] = []

    async def function(record: Record) -> Mapping[str, object]:
        tasks.append(len(asyncio.all_tasks()))
        return {"score": record["id"]}

    enriched(function, 100, concurrency=5)
    assert max(tasks) == 5 + 1  # and the one that waits for them


@pytest.mark.parametrize(
    "error",
    [
        ValueError(CANARY),
        RecursionError(CANARY),
        asyncio.CancelledError(CANARY),  # of a task that the function had begun
        SystemExit(CANARY),
        KeyboardInterrupt(CANARY),
        BaseExceptionGroup(CANARY, [GeneratorExit(CANARY)]),
        StopAsyncIteration(CANARY),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_call_raises_costs_its_own_record_only(error: BaseException) -> None:
    async def function(record: Record) -> Mapping[str, object]:
        if record["id"] == 3:
            raise error
        return {"score": record["id"]}

    added = enriched(function, 5)
    assert places(added) == [0, 1, 2, 4]
    assert [each.event_id for each in added.released] == ["order-3"]
    assert type(error).__name__ in added.outcome.causes
    assert CANARY not in repr(added.outcome)


def test_a_call_that_takes_too_long_is_ended_and_is_an_outage() -> None:
    ended: list[object] = []

    async def function(record: Record) -> Mapping[str, object]:
        if record["id"] == 3:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(record["id"])
        return {"score": record["id"]}

    added = enriched(function, 5, timeout_seconds=0.05, deliveries=1)
    assert places(added) == [0, 1, 2, 4]
    assert ended == [3]
    assert [each.event_id for each in added.released] == ["order-3"]
    assert added.outcome.causes.startswith("TimeoutError")


def test_a_failure_is_tried_again_after_a_pause_that_grows() -> None:
    tried: list[float] = []

    async def function(record: Record) -> Mapping[str, object]:
        if record["id"] == 0:
            tried.append(time.monotonic())
            if len(tried) < 3:
                raise ValueError(CANARY)
        return {"score": record["id"]}

    added = enriched(function, 2, attempts=3)
    assert places(added) == [0, 1]
    assert added.outcome.attempts == 4
    assert 0.1 <= tried[1] - tried[0] < tried[2] - tried[0] - 0.2


def test_what_a_call_does_to_its_record_changes_neither_the_next_attempt_nor_the_row() -> None:
    attempts = 0

    async def function(record: Record) -> Mapping[str, object]:
        nonlocal attempts
        attempts += 1
        assert isinstance(record, dict)
        number, tags = record.pop("id"), record["tags"]
        tags.append(CANARY)
        if attempts == 1:
            raise ValueError
        return {"score": number}

    added = enriched(function, 1, attempts=2)
    assert places(added) == [0]
    assert added.batch.frame["tags"].tolist() == [["new"]]


def test_a_record_has_the_values_by_path_and_nothing_of_what_is_added() -> None:
    records: list[Record] = []

    async def function(record: Record) -> Mapping[str, object]:
        records.append(record)
        return {"score": record["id"]}

    enriched(function, 1)
    (record,) = records
    assert set(record) == {"id", "email", "tags", "@sent_at"}
    assert record["email"] == "user-0@example.org"


def test_what_there_is_no_time_for_is_released_and_what_is_done_goes_on() -> None:
    async def function(record: Record) -> Mapping[str, object]:
        number = record["id"]
        assert isinstance(number, int)
        if number >= 5:
            await asyncio.Event().wait()
        return {"score": number}

    started = time.monotonic()
    added = enriched(function, 12, within=0.3, concurrency=2, deliveries=1)
    assert time.monotonic() - started < 5
    assert places(added) == [0, 1, 2, 3, 4]
    assert added.batch.released == len(added.released) == 7
    assert added.batch.rejects == ()


def test_no_attempt_begins_after_the_time_and_what_misses_some_is_not_quarantined() -> None:
    async def function(_record: Record) -> Mapping[str, object]:
        raise ValueError(CANARY)

    added = enriched(function, 1, within=0.05, attempts=3, deliveries=1)
    assert added.outcome.attempts == 1  # the first pause is longer than what is left
    assert (len(added.released), added.batch.rejects) == (1, ())


def test_an_outage_of_all_is_noticed_before_the_time_is_over() -> None:
    """A batch of thousands is not tried to its end while the service is down."""
    calls = Counter[str]()

    async def function(_record: Record) -> Mapping[str, object]:
        calls["made"] += 1
        raise ConnectionRefusedError

    with pytest.raises(EnrichmentError, match="ConnectionRefusedError"):
        enriched(function, 1_000, concurrency=10)
    assert calls["made"] == 100


def test_a_function_that_blocks_keeps_nobody_from_releasing_the_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As one that calls a service without `await` does: the run ends, and everything is free."""
    monkeypatch.setattr("pipeline.consume.enrich._GRACE", 0.2)
    let_go = threading.Event()

    async def function(_record: Record) -> Mapping[str, object]:
        let_go.wait(ENOUGH)
        return {}

    with pytest.raises(EnrichmentError, match="blocks its event loop"):
        enriched(function, 2, within=0.1)
    let_go.set()


def test_an_interruption_ends_the_calls_before_it_goes_on() -> None:
    """Dagster raises an exception in the main thread on SIGTERM; a call may be anywhere then."""
    ended: list[object] = []

    class Interrupted(BaseException):
        pass

    def interrupt(_number: int, _frame: object) -> None:
        raise Interrupted

    async def function(record: Record) -> Mapping[str, object]:
        try:
            if record["id"] == 9:
                signal.raise_signal(signal.SIGUSR1)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append(record["id"])
            if record["id"] in {0, 2, 4}:  # as clumsy code does
                raise ValueError(CANARY) from None
        return {"score": 1}

    others = set(threading.enumerate())  # a call that another test blocks may go on for a moment
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            enriched(function, 20, concurrency=10, attempts=3)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert sorted(ended, key=str) == list(range(10))
    left = set(threading.enumerate()) - others
    assert not [thread for thread in left if thread.name == "enrich"]
