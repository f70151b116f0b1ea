"""The report of `make machines`: green where everything holds, and only there."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from chaos.oracles import Findings
from chaos.verdicts import Witnessed
from machines.faults import Struck
from machines.growth import Round
from machines.report import Report

ACCOUNT = {"received": 110, "loaded": 100, "duplicate": 8, "quarantined": 2, "released": 0}
FOUND = Findings(
    accepted=102,
    lost=0,
    without_row=0,
    rows=100,
    events=100,
    ledger=100,
    strangers=0,
    quarantined={"not_json": 2},
    account=ACCOUNT,
)


def worked(workers: int, rate: float, busy: float) -> Round:
    return Round(
        workers=workers,
        messages=1_000,
        rate=rate,
        seconds=5.0,
        busy=busy,
        cores=2,
        parts={"workers": busy / 2, "queue": 0.1},
        others=0.0,
    )


STRUCK = Struck(what="lost", held=50, away=12.0, drained=11.0, account=ACCOUNT, is_back=True)
SOUND = Report(
    command="python -m machines --seed 7",
    seed=7,
    seconds=240.0,
    rounds=[worked(1, 100, 0.8), worked(2, 190, 1.5), worked(3, 200, 1.9)],
    warm=[worked(1, 100, 0.8), worked(2, 190, 1.5)],
    scenes=[STRUCK],
    findings=FOUND,
    witnessed=Witnessed(seen=60, early=0),
    unwatched=40,
    left=0,
    dead_letters=0,
    is_closed=True,
    machine="2 cores",
)


def broken(**changes: object) -> list[str]:
    """What does not hold of the sound report with some changes."""
    report = replace(SOUND, **cast("Any", changes))
    assert report.holds is False
    return [each.oracle.partition(":")[0] for each in report.verdicts() if not each.holds]


def test_a_campaign_in_which_everything_holds_is_green() -> None:
    assert SOUND.holds
    assert "**everything holds**" in SOUND.to_markdown()


@pytest.mark.parametrize(
    ("changes", "oracle"),
    [
        ({"lost": 1}, "L"),
        ({"without_row": 1}, "L"),
        ({"events": 99}, "D"),
        ({"ledger": 101}, "D"),
        ({"strangers": 1}, "D"),
        ({"crooked": 1}, "A"),
        ({"account": ACCOUNT | {"loaded": 101}}, "A"),
        ({"quarantined": {}}, "A"),
    ],
)
def test_what_the_warehouse_has_wrong_breaks_its_oracle(
    changes: dict[str, Any], oracle: str
) -> None:
    assert broken(findings=replace(FOUND, **changes)) == [oracle]


def test_an_early_delete_breaks_c() -> None:
    assert broken(witnessed=Witnessed(seen=60, early=1)) == ["C"]


def test_a_witness_that_saw_less_than_its_queue_gave_breaks_c() -> None:
    assert broken(witnessed=Witnessed(seen=59, early=0)) == ["C"]


@pytest.mark.parametrize("changes", [{"left": 1}, {"dead_letters": 1}])
def test_what_is_left_on_a_queue_is_told(changes: dict[str, int]) -> None:
    assert broken(**changes) == ["the queues are empty"]


def test_a_way_out_is_told() -> None:
    assert broken(is_closed=False) == ["the network is closed"]


def test_a_machine_that_does_not_come_back_is_told() -> None:
    assert broken(scenes=[STRUCK, replace(STRUCK, is_back=False)]) == ["all came back"]


def test_a_strike_that_hit_nothing_shows_nothing() -> None:
    assert broken(scenes=[replace(STRUCK, held=0)]) == ["who was struck held messages"]


def test_a_worker_more_that_is_not_worth_it_while_cores_are_free_is_told() -> None:
    rounds = [worked(1, 100, 0.8), worked(2, 105, 0.9)]
    assert broken(rounds=rounds) == ["more workers settle more, until the cores are full"]
    assert broken(warm=rounds) == ["so do more warm workers under Dagster"]


def test_full_cores_excuse_a_worker_more_that_is_not_worth_it() -> None:
    report = replace(SOUND, rounds=[worked(1, 100, 1.5), worked(2, 101, 1.8)])
    assert report.holds
    assert "1 to 2: 1.01 times, the cores are full" in report.to_markdown()


def test_a_round_without_a_rate_is_not_excused_by_full_cores() -> None:
    rounds = [worked(1, 0, 1.9), worked(2, 190, 1.9)]
    assert broken(rounds=rounds) == ["more workers settle more, until the cores are full"]


def test_what_was_left_out_has_no_verdict() -> None:
    told = replace(SOUND, rounds=(), warm=(), scenes=())
    assert told.holds
    assert len(list(told.verdicts())) == len(list(SOUND.verdicts())) - 4


def test_the_table_tells_the_rate_and_what_filled_the_cores() -> None:
    told = SOUND.to_markdown()
    assert "| 2 | 190 | 1.50 of 2 | 0.75 | 0.10 | 0.00 |" in told
    assert "| lost | 50 | 12 | 11 | received 110, loaded 100" in told


def test_json_holds_verdicts_and_figures() -> None:
    told = json.loads(SOUND.to_json())
    assert told["holds"] is True
    assert [each["workers"] for each in told["rounds"]] == [1, 2, 3]
    assert told["scenes"][0]["held"] == 50
    assert {each["oracle"][0] for each in told["verdicts"]} >= {"L", "D", "C", "A"}
