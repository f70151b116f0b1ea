"""The crash matrix leaves nothing out, and its report hides nothing."""

from collections import Counter
from dataclasses import replace

import dagster as dg
import pytest

from crashes.plan import ENDS, MOMENTS, Batch, plan
from crashes.rehearse import Verdict, ill_ended
from crashes.report import table
from crashes.runs import Ended
from crashes.sent import Found, Sent, ten
from pipeline.consume.settlement import Identity
from pipeline.crash_points import CrashPoint
from pipeline_tests.samples import USER_LOGINS

EVERY = {moment.order(end) for moment in MOMENTS for end in ENDS}


def test_every_point_is_rehearsed_with_every_end() -> None:
    assert {each.moment.order(each.end) for each in plan(1)} == EVERY
    assert {moment.point for moment in MOMENTS} == set(CrashPoint)


def test_every_point_and_end_comes_in_a_recovery_of_each_batch_too() -> None:
    for recoveries in zip(*(each.recoveries for each in plan(1)), strict=True):
        assert Counter(recoveries) == Counter(EVERY)
    assert len(plan(1)[0].recoveries) == len(Batch)


def test_the_same_seed_makes_the_same_plan() -> None:
    assert plan(7) == plan(7) != plan(8)


def test_the_table_tells_what_was_wrong_and_what_was_not_tried() -> None:
    well, ill, *_ = plan(1)
    lines = table([Verdict(well, crashes=6), Verdict(ill, crashes=5, problems=["lost"])])
    row = next(line for line in lines.splitlines() if line.startswith(str(well.moment)))
    assert row.split() == [str(well.moment), "6", "ok", "5,", "1", "WRONG", "not", "tried"]


@pytest.mark.parametrize(
    ("order", "status", "run", "wrong"),
    [
        ("after_mask:SIGTERM:1", 0, "FAILURE", []),
        ("after_mask:SIGTERM:1", 0, "SUCCESS", ["the run ended as SUCCESS"]),
        ("before_success:MemoryError:1", 0, "SUCCESS", ["the run ended as SUCCESS"]),
        ("before_delete:MemoryError:1", 0, "SUCCESS", []),
        ("after_delete:MemoryError:2", 0, "FAILURE", ["the run ended as FAILURE"]),
        ("after_delete:SIGTERM:1", 0, "SUCCESS", ["the run ended as SUCCESS"]),
        ("after_commit:SIGKILL:1", 9, "STARTED", []),
        ("after_commit:SIGKILL:1", 0, "STARTED", ["the worker ended with 0"]),
    ],
)
def test_a_run_must_end_of_what_it_met(
    *, order: str, status: int, run: str, wrong: list[str]
) -> None:
    """Fault 57: only an acknowledgement outlives a want of memory."""
    ended = Ended(status, "", dg.DagsterRunStatus(run))
    assert list(ill_ended(order, ended)) == wrong


class TestOracles:
    """Each of them notices what it is there for."""

    identity = Identity(USER_LOGINS, bytes(32))

    def settled(self) -> tuple[Sent, Found]:
        """Ten messages, and a warehouse that has settled them."""
        sent, letters = Sent(self.identity), ten()
        sent.add(letters)
        marks = [sent.mark(each.event_id, each.body) for each in letters]
        sound = range(6)
        found = Found(
            ledger={marks[place].key: marks[place].content for place in sound},
            quarantine=dict(
                zip(
                    [marks[place].quarantine for place in (7, 8, 9)],
                    ["conflict", "not_json", "refused_by_database"],
                    strict=True,
                )
            ),
            rows=Counter(letters[place].user_id for place in sound),
            accounts=[(10, 6, 1, 3, 0)],
        )
        return sent, found

    def test_what_is_settled_lacks_nothing(self) -> None:
        sent, found = self.settled()
        assert [*sent.lacks(found, set()), *sent.unsettled(found)] == []

    def test_a_lost_message(self) -> None:
        sent, found = self.settled()
        found.quarantine.popitem()
        assert "1 messages are lost" in list(sent.lacks(found, set()))

    def test_what_waits_is_not_lost(self) -> None:
        sent, found = self.settled()
        key, _ = found.quarantine.popitem()
        found = replace(found, accounts=[(9, 6, 1, 2, 0)])
        assert list(sent.lacks(found, {key})) == []
        assert list(sent.unsettled(found))

    def test_a_doubled_row(self) -> None:
        sent, found = self.settled()
        found.rows[next(iter(found.rows))] += 1
        assert "1 events have more than one row" in list(sent.lacks(found, set()))

    def test_a_row_without_its_entry_in_the_ledger(self) -> None:
        sent, found = self.settled()
        found.ledger.popitem()
        assert "6 rows, 5 entries of the ledger" in list(sent.lacks(found, set()))

    def test_a_row_that_nobody_sent(self) -> None:
        sent, found = self.settled()
        found.rows["somebody"] = 1
        assert "1 rows that nobody sent" in list(sent.lacks(found, set()))

    def test_an_account_that_does_not_add_up(self) -> None:
        sent, found = self.settled()
        found = replace(found, accounts=[(11, 6, 1, 3, 0)])
        assert list(sent.lacks(found, set())) == ["an account does not add up"]

    def test_an_account_that_says_something_else_than_the_tables(self) -> None:
        sent, found = self.settled()
        found = replace(found, accounts=[(9, 5, 1, 3, 0)])
        assert list(sent.lacks(found, set())) == ["the accounts have 5 loaded and 3 quarantined"]

    def test_a_sound_message_in_the_quarantine(self) -> None:
        sent, found = self.settled()
        key, _ = found.ledger.popitem()
        found.quarantine[key] = "refused_by_database"
        assert len(list(sent.unsettled(found))) == 2
