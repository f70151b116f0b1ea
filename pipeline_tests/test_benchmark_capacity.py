"""The model of docs/capacity.md: what it is fitted to it gives back, and limits bound it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.capacity import Measured, Model, in_flight
from pipeline.contract import Limits

RATES = {0.0: 12_000.0, 5.0: 9_000.0, 20.0: 3_800.0}


def test_it_gives_back_what_it_was_fitted_to() -> None:
    model = Model.fitted(Measured(60_000, RATES, 2.0), Limits())
    assert model.rate(0.0, 60_000) == pytest.approx(12_000, rel=0.01)
    assert model.rate(20.0, 60_000) == pytest.approx(3_800, rel=0.01)
    assert 0.5 < model.busy < 1


def test_the_first_batch_is_alone_and_the_slowest_sets_the_pace_of_the_others() -> None:
    model = Model(message_us=100.0, call_ms=0.0, busy=1.0, receives=10, deletes=10, batch=1_000)
    assert model.seconds(0.0, 1_000) == pytest.approx(0.1)
    assert model.seconds(0.0, 5_000) == pytest.approx(0.5)
    assert model.seconds(20.0, 1_000) == pytest.approx(0.2 + 0.2 + 0.1)
    assert model.seconds(20.0, 3_000) == pytest.approx(0.5 + 2 * 0.25)


@pytest.mark.parametrize(("receivers", "mib", "calls"), [(16, 128, 13), (8, 128, 8), (16, 20, 2)])
def test_calls_under_way_are_bounded_by_what_they_may_bring(
    receivers: int, mib: int, calls: int
) -> None:
    assert in_flight(receivers, mib * 2**20) == calls


def test_the_command_sizes_a_deployment(tmp_path: Path) -> None:
    kept = tmp_path / "peers.json"
    medians = [{"contender": "ours", "delay_ms": at, "rate": rate} for at, rate in RATES.items()]
    medians += [{"contender": "bare lean", "delay_ms": 20.0, "rate": 1_818.0}]
    kept.write_text(json.dumps({"medians": medians, "settings": {"messages": 60_000}}))

    told = CliRunner().invoke(
        app, ["capacity", "--kept", str(kept), "--rate", "9000", "--answer-ms", "20"]
    )

    assert told.exit_code == 0, told.output
    assert "answer   20 ms: measured   3800/s, by the model   3800/s" in told.output
    assert "9,000 messages/s at 20 ms: 4," in told.output
    assert "/s a run, 3 runs with a machine each; 156 million calls" in told.output
