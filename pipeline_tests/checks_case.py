"""Runs of a feed's job, the deployed one's or another's, and what their checks have found."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import dagster as dg

from pipeline.consume.asset import ingest
from pipeline.contract import Feed
from pipeline.definitions import defs
from pipeline.feeds import find
from pipeline.resources.outside_resource import OutsideResource
from pipeline_tests.samples import login
from pipeline_tests.world import World

ACCOUNT: Final = "account_adds_up"
MASKED: Final = "personal_fields_look_masked"
KEPT: Final = "kept_columns_hold_no_personal_values"
CHECKS: Final = {ACCOUNT, MASKED, KEPT}


def changed(column: str, **changes: Any) -> Feed:  # noqa: ANN401 - whatever a field may have
    """The logins, with another declaration of one column."""
    feed = find("user_logins")
    return replace(
        feed,
        fields=tuple(
            replace(each, **changes) if each.name == column else each for each in feed.fields
        ),
    )


def run(
    world: World, feed: Feed, changes: Iterable[Mapping[str, object]]
) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of a run over logins, of a feed that is not the deployed one."""
    world.send([json.dumps(login() | dict(each)) for each in changes])
    return worked_off(feed)


def worked_off(feed: Feed) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of a run of that feed's job."""
    with dg.DagsterInstance.ephemeral() as instance:
        return evaluations(job(feed).execute_in_process(instance=instance))


def checked_again() -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of `user_logins`, asked for by themselves."""
    asset = dg.AssetSelection.checks_for_assets(dg.AssetKey("user_logins"))
    again = dg.Definitions.merge(
        defs(), dg.Definitions(jobs=[dg.define_asset_job("checks", selection=asset)])
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = again.resolve_job_def("checks").execute_in_process(instance=instance)
    return evaluations(result)


def job(feed: Feed) -> dg.JobDefinition:
    """The job of a feed that is not the deployed one."""
    definitions = dg.Definitions.merge(
        ingest(feed),
        dg.Definitions(
            resources={"outside": OutsideResource(), "io_manager": dg.mem_io_manager},
            executor=dg.in_process_executor,
        ),
    )
    return definitions.resolve_job_def(f"ingest_{feed.name}")


def evaluations(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """The checks of a run, by name."""
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def counts(check: dg.AssetCheckEvaluation) -> dict[str, object]:
    """What a check has found, by column and kind."""
    return {name: each.value for name, each in check.metadata.items() if "/" in name}


def number(check: dg.AssetCheckEvaluation, name: str) -> int:
    """A whole number that a check tells."""
    value = check.metadata[name].value
    assert isinstance(value, int)
    return value
