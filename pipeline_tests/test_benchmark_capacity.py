"""The model of docs/capacity.md: what it is fitted to it gives back, and limits bound it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.capacity import Model, in_flight

RATES = {0.0: 10_000.0, 5.0: 9_000.0, 20.0: 4_000.0}


def test_it_gives_back_what_it_was_fitted_to() -> None:
    model = Model.fitted(RATES, 12)
    assert model.rate(0.0) == pytest.approx(10_000)
    assert model.rate(20.0) == pytest.approx(4_000)


def test_the_slower_of_processor_and_calls_is_the_rate() -> None:
    model = Model(message_us=100.0, call_ms=2.0, in_flight=10)
    assert model.rate(1.0) == 10_000
    assert model.rate(18.0) == pytest.approx(5_000)


@pytest.mark.parametrize(("receivers", "mib", "calls"), [(16, 128, 13), (8, 128, 8), (16, 20, 2)])
def test_calls_under_way_are_bounded_by_what_they_may_bring(
    receivers: int, mib: int, calls: int
) -> None:
    assert in_flight(receivers, mib * 2**20) == calls


def test_the_command_sizes_a_deployment(tmp_path: Path) -> None:
    kept = tmp_path / "peers.json"
    medians = [{"contender": "ours", "delay_ms": at, "rate": rate} for at, rate in RATES.items()]
    kept.write_text(json.dumps({"medians": medians}))

    told = CliRunner().invoke(
        app, ["capacity", "--kept", str(kept), "--rate", "9000", "--answer-ms", "20"]
    )

    assert told.exit_code == 0, told.output
    assert "9,000 messages/s at 20 ms: 4,000/s a run, 3 runs with a machine each" in told.output
