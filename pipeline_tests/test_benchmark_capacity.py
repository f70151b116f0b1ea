"""The model of docs/capacity.md: what it is fitted to it gives back, and limits bound it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.capacity import Measured, Model
from pipeline.contract import Limits

RATES = {0.0: 12_000.0, 5.0: 9_000.0, 20.0: 6_000.0}


def test_it_gives_back_what_it_was_fitted_to() -> None:
    model = Model.fitted(Measured(60_000, RATES, 2.0), Limits())
    assert model.rate(0.0, 60_000) == pytest.approx(12_000, rel=0.01)
    assert model.rate(20.0, 60_000) == pytest.approx(6_000, rel=0.01)
    assert 0.5 < model.busy < 1


def test_the_first_batch_is_alone_and_the_slowest_sets_the_pace_of_the_others() -> None:
    model = Model(message_us=100.0, call_ms=0.0, busy=1.0, under_way=10, batch=1_000)
    assert model.seconds(0.0, 1_000) == pytest.approx(0.1)
    assert model.seconds(0.0, 5_000) == pytest.approx(0.5)
    assert model.seconds(20.0, 1_000) == pytest.approx(0.2 + 0.2 + 0.1)
    assert model.seconds(20.0, 3_000) == pytest.approx(0.5 + 2 * 0.25)


def test_the_command_sizes_a_deployment(tmp_path: Path) -> None:
    kept = tmp_path / "peers.json"
    medians = [{"contender": "ours", "delay_ms": at, "rate": rate} for at, rate in RATES.items()]
    medians += [{"contender": "bare lean", "delay_ms": 20.0, "rate": 1_818.0}]
    kept.write_text(json.dumps({"medians": medians, "settings": {"messages": 60_000}}))

    told = CliRunner().invoke(
        app, ["capacity", "--kept", str(kept), "--rate", "9000", "--answer-ms", "20"]
    )

    assert told.exit_code == 0, told.output
    assert "answer   20 ms: measured   6000/s, by the model   6000/s" in told.output
    assert "9,000 messages/s at 20 ms: 6," in told.output
    assert "/s a run, 2 runs with a machine each; 156 million calls" in told.output
