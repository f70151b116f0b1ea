"""The job of a feed with an enrichment: each record ends where it belongs, whatever others do."""

from collections import Counter
from collections.abc import Mapping

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline.enrichment import Record
from pipeline_tests.enrich_case import (
    ALL_VISIBLE,
    BACK_OFF,
    account,
    failures,
    numbers,
    order,
    orders,
    run,
    score,
    scores,
    send_orders,
)
from pipeline_tests.samples import CANARY
from pipeline_tests.world import World


class Choosy:
    """Scores every order but those of some numbers."""

    def __init__(self, *refused: int, error: type[Exception] = ValueError) -> None:
        self.refused = set(refused)
        self.calls: Counter[object] = Counter()
        self._error = error

    async def score(self, record: Record) -> Mapping[str, object]:
        self.calls[record["id"]] += 1
        if record["id"] in self.refused:
            raise self._error(f"{CANARY} {record['email']}")
        return {"score": record["id"], "owner": {"name": CANARY}}


def failed_with(result: dg.ExecuteInProcessResult) -> str:
    """The text of the one error of a run that failed."""
    assert not result.success
    (text,) = failures(result)
    return text


def test_what_is_added_is_masked_and_loaded_with_the_rest(world: World) -> None:
    send_orders(world, 1, 2, 3)
    result = run(orders(Choosy().score, most=3))
    told = numbers(result)
    assert account(result) == (3, 3, 0, 0, 0)
    assert scores(world) == [(1, 1), (2, 2), (3, 3)]
    ((owner,),) = world.query("SELECT DISTINCT name FROM orders")
    assert owner.startswith("v1.")
    assert (told["enriched"], told["enrichment failed"], told["enrichment attempts"]) == (3, 0, 3)
    assert told["seconds/enrich"] > 0
    assert told["enrichment median (ms)"] > 0


def test_one_that_fails_is_released_with_back_off_and_the_others_are_loaded(world: World) -> None:
    choosy = Choosy(2)
    send_orders(world, 1, 2, 3)
    assert account(run(orders(choosy.score, most=3))) == (3, 2, 0, 0, 1)
    assert world.query("SELECT received, loaded, released FROM pipeline.account") == [(3, 2, 1)]
    assert scores(world) == [(1, 1), (3, 3)]
    # One is left: not acknowledged, and hidden for as long as a first back-off.
    assert world.depth() == (0, 1)
    world.clock.now += BACK_OFF - 1
    assert world.depth() == (0, 1)
    world.clock.now += 1
    assert world.depth() == (1, 0)
    choosy.refused.clear()
    assert account(run(orders(choosy.score, most=1))) == (1, 1, 0, 0, 0)
    assert scores(world) == [(1, 1), (2, 2), (3, 3)]
    assert world.depth() == (0, 0)


def test_the_back_off_grows_with_each_delivery(world: World) -> None:
    send_orders(world, 1, 2)
    feed = orders(Choosy(1).score, most=2)
    run(feed)
    world.clock.now += BACK_OFF
    run(orders(Choosy(1).score, most=1))
    world.clock.now += 2 * BACK_OFF - 1
    assert world.depth() == (0, 1)
    world.clock.now += 1
    assert world.depth() == (1, 0)


def test_what_fails_for_its_own_sake_is_quarantined_after_its_deliveries(world: World) -> None:
    send_orders(world, 1, 2)
    feed = orders(Choosy(2).score, most=2, deliveries=3)
    assert account(run(feed)) == (2, 1, 0, 0, 1)
    for expected in ((1, 0, 0, 0, 1), (1, 0, 0, 1, 0)):
        world.clock.now += ALL_VISIBLE
        assert account(run(orders(Choosy(2).score, most=1, deliveries=3))) == expected
    assert world.query(
        "SELECT reason, field, receive_count, position('user-2' IN encode(body_sealed, 'escape'))"
        " FROM pipeline.quarantine"
    ) == [("enrichment_failed", None, 3, 0)]
    assert world.depth() == (0, 0)
    assert scores(world) == [(1, 1)]


def test_an_outage_of_the_service_quarantines_nothing_however_little_comes(world: World) -> None:
    """A trickle of messages must not end in the quarantine because another system is down."""
    down = Choosy(1, 2, error=ConnectionResetError)
    send_orders(world, 1, 2)
    for _ in range(4):
        assert account(run(orders(down.score, most=2, deliveries=2))) == (2, 0, 0, 0, 2)
        world.clock.now += ALL_VISIBLE
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(0,)]
    down.refused.clear()
    assert account(run(orders(down.score, most=2))) == (2, 2, 0, 0, 0)


@pytest.mark.parametrize("error", [ValueError, ConnectionResetError])
def test_where_all_of_ten_fail_the_run_fails_and_quarantines_nothing(
    world: World, error: type[Exception]
) -> None:
    ten = range(10)
    send_orders(world, *ten)
    feed = orders(Choosy(*ten, error=error).score, most=10, deliveries=1)
    text = failed_with(run(feed))
    assert "E_ENRICHMENT: none of 10 records could be enriched" in text
    assert f"{error.__name__} at test_enrich_job.py:" in text
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(0,)]
    assert world.query("SELECT count(*) FROM pipeline.account") == [(0,)]
    assert world.depth() == (0, 10)
    world.clock.now += BACK_OFF
    assert account(run(orders(most=10))) == (10, 10, 0, 0, 0)


def test_a_result_that_breaks_its_type_fails_that_record_and_names_the_column(
    world: World,
) -> None:
    results: dict[object, object] = {
        1: {"score": "high"},
        2: {"score": 101},
        3: {},
        4: {"score": None},
        5: None,
        6: {"score": 1, "owner": {"name": "\ud800"}},
        7: {"score": 1, "owner": {"name": object()}},
        8: {"score": 8, "owner": {"name": None}},
    }

    async def badly(record: Record) -> Mapping[str, object]:
        return results[record["id"]]  # type: ignore[return-value]

    send_orders(world, *range(1, 9))
    assert account(run(orders(badly, most=8, deliveries=1))) == (8, 1, 0, 7, 0)
    assert scores(world) == [(8, 8)]
    fields = Counter(field for (field,) in world.query("SELECT field FROM pipeline.quarantine"))
    assert fields == {"score": 4, None: 3}


def test_what_is_added_without_being_declared_is_dropped_and_counted(world: World) -> None:
    async def generous(_record: Record) -> Mapping[str, object]:
        return {"score": 1, "rank": CANARY, "owner": {"name": "Ann", "phone": CANARY}}

    send_orders(world, 1)
    assert numbers(run(orders(generous, most=1)))["unknown fields dropped"] == 2
    assert scores(world) == [(1, 1)]


def test_no_producer_gives_an_enriched_value(world: World) -> None:
    world.send([order(1, **{"@enriched": {"score": 99}, "@enriched.score": 99, "score": 99})])
    assert numbers(run(orders(most=1)))["unknown fields dropped"] == 3
    assert scores(world) == [(1, 1)]


def test_only_what_is_loaded_is_enriched_and_only_once(world: World) -> None:
    """Duplicates, broken messages, and what the ledger knows need no call."""
    choosy = Choosy()
    send_orders(world, 1, 1, 2, 1)
    world.send([order(3, email=None)])
    assert account(run(orders(choosy.score, most=5))) == (5, 2, 2, 1, 0)
    assert choosy.calls == {1: 1, 2: 1}
    # A redelivery, and a producer's retry: also where the function would fail by now.
    send_orders(world, 2, 4)
    choosy.refused = {2}
    assert account(run(orders(choosy.score, most=2, deliveries=1))) == (2, 1, 1, 0, 0)
    assert choosy.calls == {1: 1, 2: 1, 4: 1}
    assert world.depth() == (0, 0)


def test_a_conflict_is_one_whatever_the_enrichment_gives(world: World) -> None:
    """What an event says is its body: another score makes no other event, another body does."""
    world.send([order(1)], ["event"])
    run(orders(most=1))
    world.send([order(1), order(2)], ["event", "event"])

    async def other(_record: Record) -> Mapping[str, object]:
        return {"score": 77}

    assert account(run(orders(other, most=2))) == (2, 0, 1, 1, 0)
    assert world.query("SELECT reason FROM pipeline.quarantine") == [("conflict",)]


def test_no_value_of_an_exception_gets_out(
    world: World, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    send_orders(world, *range(12))
    some = run(orders(Choosy(1, 2, 3).score, most=12))
    world.clock.now += ALL_VISIBLE
    send_orders(world, *range(20, 30))
    every = run(orders(Choosy(*range(30)).score, most=13))
    assert account(some) == (12, 9, 0, 0, 3)
    assert "ValueError at test_enrich_job.py:" in failed_with(every)
    printed = capfd.readouterr()
    told = [str(event) for result in (some, every) for event in result.all_events]
    told += [printed.out, printed.err, caplog.text, repr(numbers(some))]
    told += [repr(event.event_specific_data) for event in every.all_events]
    assert "failed 3: ValueError at test_enrich_job.py:" in printed.err
    for text in told:
        assert CANARY not in text
        assert "@example.org" not in text


def test_only_a_feed_with_an_enrichment_has_its_op() -> None:
    ops = {
        name: {node.name for node in defs().resolve_job_def(f"ingest_{name}").all_node_defs}
        for name in ("messages", "user_logins")
    }
    assert "enrich_messages" in ops["messages"]
    assert not any(name.startswith("enrich_") for name in ops["user_logins"])


def test_a_batch_of_nothing_is_enriched_too(world: World) -> None:
    assert account(run(orders(score))) == (0, 0, 0, 0, 0)
    assert world.depth() == (0, 0)


def deliver_in_vain(world: World, times: int) -> None:
    """Everything on the queue is delivered so often, and settled by nobody."""
    for _ in range(times):
        world.receive_counts()
        world.clock.now += ALL_VISIBLE


def test_what_is_settled_apart_is_enriched_too(world: World) -> None:
    """Fault 15: delivered often and never settled, they come after the others, and as whole."""
    send_orders(world, 1, 2)
    deliver_in_vain(world, 4)
    send_orders(world, 3)
    assert account(run(orders(most=3, deliveries=3))) == (3, 3, 0, 0, 0)
    assert scores(world) == [(1, 1), (2, 2), (3, 3)]
    assert world.depth() == (0, 0)


def test_where_nothing_else_went_well_one_failure_is_doubt_enough(world: World) -> None:
    """Fault 15: two suspects alone are no proof that they, and not the service, are at fault."""
    choosy = Choosy(1, 2)
    feed = orders(choosy.score, most=2, deliveries=1)
    send_orders(world, 1, 2)
    deliver_in_vain(world, 4)
    assert account(run(feed)) == (2, 0, 0, 0, 2)
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(0,)]
    world.clock.now += ALL_VISIBLE
    send_orders(world, 3)
    choosy.refused = {1}
    assert account(run(orders(choosy.score, most=3, deliveries=1))) == (3, 2, 0, 1, 0)
    assert scores(world) == [(2, 2), (3, 3)]


def test_three_portions_that_fail_are_enough(world: World) -> None:
    """The fourth is given back as it is: what fails is not the messages."""
    forty = range(40)
    choosy = Choosy(*forty)
    send_orders(world, *forty)
    deliver_in_vain(world, 5)
    text = failed_with(run(orders(choosy.score, most=40, deliveries=3)))
    assert "E_ENRICHMENT: none of 10 records could be enriched" in text
    assert choosy.calls.total() == 30
    assert world.depth() == (0, 40)
    world.clock.now += ALL_VISIBLE
    assert world.receive_counts() == [7] * 40
