"""Warm workers on machines: the instance that is shipped for them, with room for all of them."""

from pathlib import Path

import machines
from machines.warm import instance_for

SHIPPED = Path(machines.__file__).parents[1] / "deploy" / "dagster.yaml"


def test_each_machine_has_room_for_a_run() -> None:
    told = [line.strip() for line in instance_for(SHIPPED.read_text(), 4).splitlines()]
    assert "max_concurrent_runs: 4" in told
    assert told[told.index("- key: pipeline/holds") + 1] == "limit: 4"


def test_all_else_is_as_it_is_shipped() -> None:
    shipped = SHIPPED.read_text().splitlines()
    told = instance_for(SHIPPED.read_text(), 4).splitlines()
    changed = [was for was, now in zip(shipped, told, strict=True) if was != now]
    assert [each.split(":")[0].strip() for each in changed] == ["max_concurrent_runs", "limit"]
