"""The report of a chaos run: it is green where everything holds and enough happened, only there."""

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from chaos import command
from chaos.enough import least, least_loaded
from chaos.oracles import Findings
from chaos.report import Happened, Order, Report
from chaos.schedule import Fault
from chaos.search import Search
from chaos.verdicts import Witnessed

ORDER = Order(minutes=3, seed=7, rate=170, drain_minutes=2, command="python -m chaos --seed 7")
ACCOUNT = {
    "received": 19_000,
    "loaded": 18_000,
    "duplicate": 988,
    "quarantined": 12,
    "released": 0,
}
FOUND = Findings(
    accepted=18_010,
    lost=0,
    without_row=0,
    rows=18_000,
    events=18_000,
    ledger=18_000,
    strangers=0,
    quarantined={"conflict": 4, "not_json": 6},
    left=2,
    batches=12,
    account=ACCOUNT,
    crooked=0,
)
HAPPENED = Happened(
    sent={"accepted": 19_000, "unsure": 20},
    planned={fault.value: 2 for fault in Fault},
    faults={fault.value: 1 for fault in Fault},
    queue_faults={"duplicate": 40},
    killed_at={"starting": 1, "loading": 3},
    loaded_meanwhile=15_000,
    worker_kills=3,
    postgres_kills=2,
    restarts={"daemon": 1},
    hung=0,
    drain_seconds=40.0,
    died=[],
    witnessed=Witnessed(seen=40_000, early=0),
    alerts={"E_QUEUE": 2},
    errands={"quarantine redrive: done": 1},
)
SOUND = Report(
    order=ORDER,
    happened=HAPPENED,
    findings={"a": FOUND},
    search=Search(searched=10**8, hits={}, sighted=True),
    runs={"SUCCESS": 9, "FAILURE": 4},
    dead_letters=0,
)


def broken(report: Report) -> list[str]:
    """What does not hold."""
    assert report.holds is False
    return [each.oracle.partition(":")[0] for each in report.verdicts() if not each.holds]


def found(**changes: object) -> Report:
    """The sound report with other findings for one of two feeds."""
    other = replace(FOUND, **cast("Any", changes))
    return replace(SOUND, findings={"a": FOUND, "b": other})


def happened(**changes: object) -> Report:
    """The sound report of a run in which other things happened."""
    return replace(SOUND, happened=replace(HAPPENED, **cast("Any", changes)))


def test_a_run_in_which_everything_holds_is_green() -> None:
    assert SOUND.holds
    assert all(each.holds for each in SOUND.verdicts())


@pytest.mark.parametrize("changes", [{"lost": 1}, {"without_row": 1}])
def test_a_lost_message_breaks_l(changes: dict[str, int]) -> None:
    assert broken(found(**changes)) == ["L"]


@pytest.mark.parametrize("changes", [{"events": 17_999}, {"strangers": 1}, {"ledger": 18_001}])
def test_a_doubled_row_breaks_d(changes: dict[str, int]) -> None:
    assert broken(found(**changes)) == ["D"]


def test_an_early_acknowledgement_breaks_c() -> None:
    assert broken(happened(witnessed=Witnessed(seen=19_000, early=1))) == ["C"]


def test_a_witness_that_saw_too_little_breaks_c() -> None:
    assert broken(happened(witnessed=Witnessed(seen=17_999, early=0))) == ["C"]


def test_a_canary_breaks_p_and_is_told_by_place_and_form() -> None:
    report = replace(SOUND, search=replace(SOUND.search, hits={"said/daemon": ["device, plain"]}))
    assert broken(report) == ["P"]
    assert "canary in said/daemon: device, plain" in report.to_markdown()


def test_a_search_that_does_not_see_what_is_there_breaks_p() -> None:
    assert broken(replace(SOUND, search=replace(SOUND.search, sighted=False))) == ["P"]


def test_what_is_loaded_only_when_nothing_is_broken_any_more_is_not_enough() -> None:
    assert broken(happened(loaded_meanwhile=1_000)) == ["enough happened"]


@pytest.mark.parametrize("seconds", [None, 121.0])
def test_a_slow_drain_breaks_r(seconds: float | None) -> None:
    assert broken(happened(drain_seconds=seconds)) == ["R"]


@pytest.mark.parametrize(
    "changes",
    [
        {"crooked": 1},
        {"account": ACCOUNT | {"loaded": 18_001}},
        {"quarantined": {"conflict": 9}},
        {"left": 3},
    ],
)
def test_an_account_that_does_not_add_up_breaks_a(changes: dict[str, Any]) -> None:
    assert broken(found(**changes)) == ["A"]


def test_a_process_that_ends_by_itself_is_told() -> None:
    assert broken(happened(died=["daemon"])) == ["nothing died by itself"]


@pytest.mark.parametrize(
    "changes",
    [
        {"worker_kills": 1, "killed_at": {"starting": 20, "loading": 1}},
        {"postgres_kills": 0},
        {"faults": HAPPENED.faults | {Fault.RESET.value: 0}},
        {"queue_faults": {}},
    ],
)
def test_a_run_in_which_too_little_was_broken_is_not_green(changes: dict[str, Any]) -> None:
    assert broken(happened(**changes)) == ["enough happened"]


def test_what_a_short_run_plans_once_may_find_nothing_to_break() -> None:
    planned = HAPPENED.planned | {Fault.RESET.value: 1}
    assert happened(planned=planned, faults=HAPPENED.faults | {Fault.RESET.value: 0}).holds


def test_a_run_that_moved_too_little_is_not_green() -> None:
    few = replace(SOUND, findings={"a": replace(FOUND, accepted=16_000)})
    assert broken(few) == ["enough happened"]


def test_what_one_feed_has_too_much_does_not_make_up_for_another() -> None:
    more, fewer = replace(FOUND, ledger=18_001), replace(FOUND, ledger=17_999)
    report = replace(SOUND, findings={"a": more, "b": fewer})
    assert broken(report) == ["D"]


def test_a_run_of_which_nobody_was_told_is_not_green() -> None:
    assert broken(happened(alerts={})) == ["people were told"]


@pytest.mark.parametrize(
    ("accepted", "workers", "postgres", "green"),
    [
        (500_000, 100, 30, True),
        (499_999, 100, 30, False),
        (500_000, 99, 30, False),
        (500_000, 100, 29, False),
    ],
)
def test_an_hour_reaches_the_figures_of_an_hour(
    accepted: int, workers: int, postgres: int, *, green: bool
) -> None:
    report = replace(
        SOUND,
        order=replace(ORDER, minutes=60),
        findings={"a": replace(FOUND, accepted=accepted)},
        happened=replace(
            HAPPENED, loaded_meanwhile=250_000, worker_kills=workers, postgres_kills=postgres
        ),
    )
    assert report.holds is green


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(1, 1), (3, 2), (5, 5), (10, 12), (30, 42), (60, 100), (120, 200)]
)
def test_shorter_runs_may_fall_short_by_chance_and_longer_ones_may_not(
    minutes: float, wanted: int
) -> None:
    assert least(100, minutes) == wanted


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(1, 1), (2, 1), (3, 1_667), (10, 26_263), (60, 250_000)]
)
def test_rows_come_a_batch_at_a_time_and_none_while_all_starts(minutes: float, wanted: int) -> None:
    assert least_loaded(minutes) == wanted


def test_a_run_that_shows_too_little_is_told_from_one_that_shows_a_fault() -> None:
    few = happened(worker_kills=0)
    assert "nothing is off, but too little happened" in few.to_markdown()
    assert "NOT as it should be" in found(lost=1).to_markdown()
    assert "everything holds" in SOUND.to_markdown()


def test_the_machine_is_described_and_not_named() -> None:
    assert "cores" in SOUND.machine
    assert "GiB" in SOUND.machine
    assert platform.node() not in SOUND.machine


def test_it_says_seed_command_and_every_figure() -> None:
    text = SOUND.to_markdown()
    for part in ("`python -m chaos --seed 7`", "Seed: 7", "| conflict | 4 |", "40 s after"):
        assert part in text
    for fault in Fault:
        assert f"| {fault.value} | 1 |" in text
    for part in ("| loading | 3 |", "| E_QUEUE | 2 |", "| quarantine redrive: done | 1 |"):
        assert part in text


class Ended:
    """A chaos run that has ended with a report."""

    report = SOUND

    def __init__(self, order: Order, _root: Path) -> None:
        self.order = order

    def run(self) -> Report:
        return replace(self.report, order=self.order)


@pytest.mark.parametrize(
    ("report", "status"), [(SOUND, 0), (found(lost=1), 1), (happened(worker_kills=0), 1)]
)
def test_the_status_says_whether_everything_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: Report, status: int
) -> None:
    monkeypatch.setattr(Ended, "report", report)
    monkeypatch.setattr(command, "ChaosRun", Ended)
    kept = tmp_path / "report.json"
    options = ["--minutes", "3", "--seed", "12", "--json", "--report", str(kept)]
    ended = CliRunner().invoke(command.app, options)
    assert ended.exit_code == status, ended.output
    assert ended.output.startswith("seed 12\n")
    assert json.loads(kept.read_text())["order"]["seed"] == 12


def test_it_is_written_in_json_too() -> None:
    told = json.loads(replace(SOUND, dead_letters=3).to_json())
    assert told["holds"] is True
    assert told["dead_letters"] == 3
    assert {each["holds"] for each in told["verdicts"]} == {True}
