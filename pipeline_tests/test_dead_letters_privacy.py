"""To look at dead letters and to redrive them leaves no value behind, whatever goes wrong."""

import json

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline.resources.settings import CUSTODIAN_URL
from pipeline_tests.canaries import Canaries
from pipeline_tests.dead_letter_case import bury, environment, outside
from pipeline_tests.privacy_case import Traces, record
from pipeline_tests.samples import USER_LOGINS
from pipeline_tests.world import World


def test_no_value_is_left_by_a_look_or_a_redrive(
    world: World,
    traces: Traces,
    canaries: Canaries,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Letters are raw, and pass through memory only: also where a redrive breaks off."""
    monkeypatch.setenv(CUSTODIAN_URL, environment(world)[CUSTODIAN_URL])
    outside(world)
    bury(world, [json.dumps(record(canaries, place)) for place in range(12)])
    name = USER_LOGINS.name

    def succeeds(job: str, config: dict[str, object] | None = None) -> bool:
        definition = defs().resolve_job_def(job)
        return definition.execute_in_process(
            instance=instance, run_config=config or {}, raise_on_error=False
        ).success

    given = {"reason": "ticket 12", "stated_by": "Eve", "per_second": 500}
    config: dict[str, object] = {"ops": {f"redrive_letters_{name}": {"config": given}}}
    assert succeeds(f"look_at_dead_letters_{name}")
    with world.app.gate("SendMessageBatch", 2) as gate:
        world.app.let_fail(gate)
        assert not succeeds(f"redrive_dead_letters_{name}", config)
    assert succeeds(f"redrive_dead_letters_{name}", config)
    assert world.depth() == (12, 0)
    assert traces.find(canaries.masked_needles() | canaries.user_needles()) == {}
