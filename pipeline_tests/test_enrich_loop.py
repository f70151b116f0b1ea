"""What the code of an enrichment does to its event loop costs its own records only."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import NoReturn

import pytest

from pipeline.enrichment import Enrichment, Function, Record
from pipeline.errors import EnrichmentError
from pipeline_tests.enrich_case import enriched, enriched_by, orders, places, score
from pipeline_tests.samples import CANARY


async def in_a_group(error: BaseException) -> None:
    """A task group whose task fails while it is waited for."""

    async def lookup() -> NoReturn:
        await asyncio.sleep(0)
        raise error

    async with asyncio.TaskGroup() as group:
        group.create_task(lookup())


async def in_a_task(error: BaseException) -> None:
    """A task that fails."""

    async def lookup() -> NoReturn:
        raise error

    await asyncio.gather(lookup())


async def in_a_callback(error: BaseException) -> None:
    """A callback that fails."""

    def callback() -> NoReturn:
        raise error

    asyncio.get_running_loop().call_soon(callback)
    await asyncio.sleep(0)
    raise error


@pytest.mark.parametrize("concurrency", [1, 5])
def test_a_task_group_that_fails_costs_its_own_record_only(concurrency: int) -> None:
    """Before Python 3.13 it leaves a cancellation on the task that it ran in."""

    async def function(record: Record) -> Mapping[str, object]:
        if record["id"] in {0, 3}:
            await in_a_group(ValueError(CANARY))
        return {"score": record["id"]}

    added = enriched(function, 6, concurrency=concurrency, attempts=2)
    assert places(added) == [1, 2, 4, 5]
    assert added.outcome.attempts == 8
    assert "ExceptionGroup" in added.outcome.causes


def test_a_task_group_whose_failure_is_caught_costs_nothing() -> None:
    async def function(record: Record) -> Mapping[str, object]:
        try:
            await in_a_group(ValueError(CANARY))
        except* ValueError:
            pass
        return {"score": record["id"]}

    assert places(enriched(function, 20, concurrency=2)) == list(range(20))


def test_no_call_finds_what_a_task_group_of_an_earlier_one_left_on_the_task() -> None:
    """Clients and other groups take such a cancellation for one of their own."""

    async def function(record: Record) -> Mapping[str, object]:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise AssertionError
        await in_a_group(ValueError(CANARY))
        return {"score": record["id"]}

    added = enriched(function, 6, concurrency=2)
    assert "AssertionError" not in added.outcome.causes
    assert len(added.released) == 6


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("raised", [in_a_group, in_a_task, in_a_callback])
def test_an_exit_anywhere_in_a_call_costs_its_own_record_and_tells_no_value(
    raised: Callable[[BaseException], Coroutine[object, object, None]],
    error: type[BaseException],
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both get out of an event loop, whichever task raises them."""

    async def function(record: Record) -> Mapping[str, object]:
        if record["id"] == 2:
            await raised(error(CANARY))
        return {"score": record["id"]}

    added = enriched(function, 5, concurrency=2)
    assert places(added) == [0, 1, 3, 4]
    assert error.__name__ in added.outcome.causes
    printed = capfd.readouterr()
    assert CANARY not in printed.out + printed.err + caplog.text


def test_an_exit_in_a_task_that_is_left_behind_is_told_to_nobody(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It ends when the loop is closed; an error of the thread would fail this test, too."""
    left = []

    async def leave() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyboardInterrupt(CANARY)

    async def function(record: Record) -> Mapping[str, object]:
        left.append(asyncio.create_task(leave()))
        await asyncio.sleep(0)
        return {"score": record["id"]}

    assert places(enriched(function, 1)) == [0]
    assert left[0].done()
    assert CANARY not in capfd.readouterr().err


def test_a_loop_that_is_stopped_goes_on() -> None:
    async def function(record: Record) -> Mapping[str, object]:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0)
        return {"score": record["id"]}

    assert places(enriched(function, 3)) == [0, 1, 2]


def test_a_function_that_cancels_everything_fails_the_run() -> None:
    async def function(_record: Record) -> Mapping[str, object]:
        for task in asyncio.all_tasks():
            task.cancel(CANARY)
        await asyncio.Event().wait()
        return {}

    with pytest.raises(EnrichmentError, match="CancelledError") as caught:
        enriched(function, 3)
    assert CANARY not in str(caught.value)


async def another_error(_record: Record) -> Mapping[str, object]:
    """Raises an error of its own where it is cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ValueError(CANARY) from None
    return {}


async def no_error(_record: Record) -> Mapping[str, object]:
    """Gives nothing where it is cancelled."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    return {}


async def outage_in_a_group(_record: Record) -> Mapping[str, object]:
    """Meets an outage in a task group of a task group."""
    await in_a_group(ExceptionGroup(CANARY, [ConnectionRefusedError(), TimeoutError()]))
    return {}


@pytest.mark.parametrize("function", [another_error, no_error, outage_in_a_group])
def test_an_outage_is_one_whatever_the_function_makes_of_it(function: Function) -> None:
    added = enriched(function, 3, timeout_seconds=0.05, deliveries=1)
    assert (len(added.released), added.batch.rejects) == (3, ())


def test_a_group_of_an_outage_and_of_something_else_is_the_fault_of_the_record() -> None:
    async def function(_record: Record) -> Mapping[str, object]:
        raise ExceptionGroup(CANARY, [ConnectionRefusedError(), ValueError()])

    added = enriched(function, 3, deliveries=1)
    assert (len(added.released), len(added.batch.rejects)) == (0, 3)


def test_a_session_is_opened_once_a_run_and_closed_in_the_end() -> None:
    states: list[str] = []

    @asynccontextmanager
    async def session() -> AsyncIterator[Function]:
        states.append("opened")

        async def function(record: Record) -> Mapping[str, object]:
            assert states == ["opened"]
            return {"score": record["id"]}

        try:
            yield function
        finally:
            states.append("closed")

    feed = replace(orders(), enrichment=Enrichment(session=session))
    for _ in range(2):
        states.clear()
        assert places(enriched_by(feed, 3)) == [0, 1, 2]
        assert states == ["opened", "closed"]


def test_a_session_that_is_not_to_be_had_fails_the_run_and_tells_no_value() -> None:
    async def connect() -> Function:
        raise ConnectionRefusedError(CANARY)

    @asynccontextmanager
    async def session() -> AsyncIterator[Function]:
        yield await connect()

    feed = replace(orders(), enrichment=Enrichment(session=session))
    with pytest.raises(EnrichmentError, match="ConnectionRefusedError") as caught:
        enriched_by(feed, 1)
    assert CANARY not in str(caught.value)


def test_an_exit_in_a_session_that_opens_fails_the_run_and_tells_no_value(
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def connect() -> Function:
        raise SystemExit(CANARY)

    @asynccontextmanager
    async def session() -> AsyncIterator[Function]:
        yield await connect()

    feed = replace(orders(), enrichment=Enrichment(session=session))
    with pytest.raises(EnrichmentError, match="SystemExit") as caught:
        enriched_by(feed, 1)
    assert CANARY not in str(caught.value) + capfd.readouterr().err


def test_a_session_may_have_a_task_group_that_fails() -> None:
    @asynccontextmanager
    async def session() -> AsyncIterator[Function]:
        try:
            await in_a_group(ValueError(CANARY))
        except* ValueError:
            pass
        yield score

    feed = replace(orders(), enrichment=Enrichment(session=session))
    assert places(enriched_by(feed, 3)) == [0, 1, 2]


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError, None])
def test_a_session_that_cannot_be_closed_takes_no_result_away(
    error: type[BaseException] | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It raises, or it takes for ever."""
    monkeypatch.setattr("pipeline.consume.calls._CLOSING", 0.1)

    @asynccontextmanager
    async def session() -> AsyncIterator[Function]:
        yield score
        if error is None:
            await asyncio.Event().wait()
        else:
            raise error(CANARY)

    feed = replace(orders(), enrichment=Enrichment(session=session))
    assert places(enriched_by(feed, 3)) == [0, 1, 2]
    name = TimeoutError.__name__ if error is None else error.__name__
    assert f"the session of the enrichment was not closed ({name} at " in caplog.text
    assert CANARY not in caplog.text


def test_what_a_task_of_the_function_leaves_behind_is_told_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def lost() -> None:
        raise ValueError(CANARY)

    async def function(record: Record) -> Mapping[str, object]:
        task = asyncio.create_task(lost())
        await asyncio.sleep(0)
        del task
        return {"score": record["id"]}

    assert places(enriched(function, 3)) == [0, 1, 2]
    assert "ValueError" in caplog.text
    assert CANARY not in caplog.text
