"""The report of a chaos run: it is green where everything holds and enough happened, only there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from chaos import command
from chaos.oracles import Findings
from chaos.report import Happened, Order, Report, Witnessed
from chaos.schedule import Fault
from chaos.search import Search

ORDER = Order(minutes=3, seed=7, rate=10, drain_minutes=2, command="python -m chaos --seed 7")
ACCOUNT = {"received": 1_900, "loaded": 1_800, "duplicate": 90, "quarantined": 10, "released": 0}
FOUND = Findings(
    accepted=1_810,
    lost=0,
    without_row=0,
    rows=1_800,
    events=1_800,
    ledger=1_800,
    strangers=0,
    quarantined={"conflict": 4, "not_json": 6},
    batches=12,
    account=ACCOUNT,
    crooked=0,
)
HAPPENED = Happened(
    sent={"accepted": 1_900, "unsure": 20},
    planned={fault.value: 2 for fault in Fault},
    faults={fault.value: 1 for fault in Fault},
    queue_faults={"duplicate": 40},
    worker_kills=6,
    postgres_kills=2,
    restarts={"daemon": 1},
    drain_seconds=40.0,
    died=[],
    witnessed=Witnessed(seen=1_900, early=0),
)
SOUND = Report(
    order=ORDER,
    happened=HAPPENED,
    findings=FOUND,
    search=Search(searched=10**8, hits={}, sighted=True),
    runs={"SUCCESS": 9, "FAILURE": 4},
    dead_letters=0,
)


def broken(report: Report) -> list[str]:
    """What does not hold."""
    assert report.holds is False
    return [each.oracle.partition(":")[0] for each in report.verdicts() if not each.holds]


def found(**changes: object) -> Report:
    """The sound report with other findings."""
    return replace(SOUND, findings=replace(FOUND, **cast("Any", changes)))


def happened(**changes: object) -> Report:
    """The sound report of a run in which other things happened."""
    return replace(SOUND, happened=replace(HAPPENED, **cast("Any", changes)))


def test_a_run_in_which_everything_holds_is_green() -> None:
    assert SOUND.holds
    assert all(each.holds for each in SOUND.verdicts())


@pytest.mark.parametrize("changes", [{"lost": 1}, {"without_row": 1}])
def test_a_lost_message_breaks_l(changes: dict[str, int]) -> None:
    assert broken(found(**changes)) == ["L"]


@pytest.mark.parametrize("changes", [{"events": 1_799}, {"strangers": 1}, {"ledger": 1_801}])
def test_a_doubled_row_breaks_d(changes: dict[str, int]) -> None:
    assert broken(found(**changes)) == ["D"]


def test_an_early_acknowledgement_breaks_c() -> None:
    assert broken(happened(witnessed=Witnessed(seen=1_900, early=1))) == ["C"]


def test_a_witness_that_saw_too_little_breaks_c() -> None:
    assert broken(happened(witnessed=Witnessed(seen=1_799, early=0))) == ["C"]


def test_a_canary_breaks_p_and_is_told_by_place_and_form() -> None:
    report = replace(SOUND, search=replace(SOUND.search, hits={"said/daemon": ["device, plain"]}))
    assert broken(report) == ["P"]
    assert "canary in said/daemon: device, plain" in report.to_markdown()


def test_a_search_that_does_not_see_what_is_there_breaks_p() -> None:
    assert broken(replace(SOUND, search=replace(SOUND.search, sighted=False))) == ["P"]


@pytest.mark.parametrize("seconds", [None, 121.0])
def test_a_slow_drain_breaks_r(seconds: float | None) -> None:
    assert broken(happened(drain_seconds=seconds)) == ["R"]


@pytest.mark.parametrize(
    "changes",
    [{"crooked": 1}, {"account": ACCOUNT | {"loaded": 1_801}}, {"quarantined": {"conflict": 9}}],
)
def test_an_account_that_does_not_add_up_breaks_a(changes: dict[str, Any]) -> None:
    assert broken(found(**changes)) == ["A"]


def test_a_process_that_ends_by_itself_is_told() -> None:
    assert broken(happened(died=["daemon"])) == ["nothing died by itself"]


@pytest.mark.parametrize(
    "changes",
    [
        {"worker_kills": 1},
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
    assert broken(found(accepted=539)) == ["enough happened"]


def test_it_says_seed_command_and_every_figure() -> None:
    text = SOUND.to_markdown()
    for part in ("`python -m chaos --seed 7`", "Seed: 7", "| conflict | 4 |", "40 s after"):
        assert part in text
    for fault in Fault:
        assert f"| {fault.value} | 1 |" in text


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
    options = ["--minutes", "3", "--rate", "10", "--seed", "12", "--json", "--report", str(kept)]
    ended = CliRunner().invoke(command.app, options)
    assert ended.exit_code == status, ended.output
    assert ended.output.startswith("seed 12\n")
    assert json.loads(kept.read_text())["order"]["seed"] == 12


def test_it_is_written_in_json_too() -> None:
    told = json.loads(replace(SOUND, dead_letters=3).to_json())
    assert told["holds"] is True
    assert told["dead_letters"] == 3
    assert {each["holds"] for each in told["verdicts"]} == {True}
