"""No personal value is found where none may be, after all that is done with the quarantine."""

from typing import Any, Final

import dagster as dg
import pytest

from pipeline.definitions import defs
from pipeline_tests.canaries import Canaries, found_in
from pipeline_tests.privacy_case import Traces, bodies, failed_with, outcome
from pipeline_tests.test_privacy import command
from pipeline_tests.world import World

WHY: Final = {"reason": "a test", "stated_by": "a tester"}
STATED: Final = ("--reason", "a test", "--by", "a tester")


def test_handling_the_quarantine_leaves_no_value_behind(
    world: World,
    canaries: Canaries,
    instance: dg.DagsterInstance,
    traces: Traces,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Invariant 4: looks, redrives and purges, at the command line and as jobs."""
    monkeypatch.setenv("PIPELINE_CUSTODIAN_URL", world.postgres_url)
    world.send(
        bodies(canaries), [f"{canaries.device(500)} {n}" for n in range(len(bodies(canaries)))]
    )
    assert outcome(defs(), world, instance) == ""
    lying = quarantined(world)
    assert lying > 20

    at_the_command_line(world, canaries, traces)
    assert (quarantined(world), world.depth()) == (0, (lying, 0))
    assert outcome(defs(), world, instance) == ""
    assert quarantined(world) == lying
    as_jobs(world, instance)
    assert quarantined(world) == 0

    masked, users = canaries.masked_needles(), canaries.user_needles()
    assert traces.find(masked | users) == {}
    assert traces.find_stored(masked) == {}


def quarantined(world: World) -> int:
    ((count,),) = world.query("SELECT count(*) FROM pipeline.quarantine")
    return int(count)


def some_handle(world: World) -> str:
    ((key,),) = world.query("SELECT min(key) FROM pipeline.quarantine WHERE reason = 'not_json'")
    return str(key.hex()[:12])


def at_the_command_line(world: World, canaries: Canaries, traces: Traces) -> None:
    """One message is looked at, and all are redriven."""
    feed = ("quarantine", "look", "user_logins")
    shown = command(world, traces, *feed, some_handle(world), *STATED)
    assert found_in(shown, canaries.masked_needles())  # on standard output, where it is to be
    traces.said["wrong"] = command(world, traces, *feed, canaries.device(1), *STATED, status=1)
    for name, options in {
        "list": ("--messages", "100", "--json"),
        "redrive": ("--all", *STATED),
    }.items():
        traces.said[name] = command(world, traces, "quarantine", name, "user_logins", *options)


def as_jobs(world: World, instance: dg.DagsterInstance) -> None:
    """A look is prepared, some are redriven, the others purged."""
    world.query(
        "UPDATE pipeline.quarantine SET quarantined_at = quarantined_at - interval '2 days'"
    )
    configs: dict[str, tuple[str, dict[str, Any]]] = {
        "look_user_logins": ("ask_look_user_logins", {"message": some_handle(world)}),
        "redrive_user_logins": (
            "send_again_user_logins",
            {"codes": ["not_json"], "dry_run": False},
        ),
        "purge_quarantine_user_logins": (
            "destroy_user_logins",
            {"older_than_days": 1, "dry_run": False},
        ),
    }
    for job, (op, config) in configs.items():
        result = (
            defs()
            .resolve_job_def(job)
            .execute_in_process(
                instance=instance,
                run_config={"ops": {op: {"config": {**WHY, **config}}}},
                raise_on_error=False,
            )
        )
        assert result.success, failed_with(result)
