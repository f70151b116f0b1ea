"""A source as it is deployed in Dagster, on an instance of its own, and what tests do with it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pytest

from pipeline.produce.fetch.fetched import Fetched
from pipeline.produce.fetch.jobs import fetching
from pipeline.resources.outside_resource import OutsideResource
from pipeline.source import Source
from pipeline_tests.fetch_case import FEED, QUICK, STALE, Case
from pipeline_tests.world import lead_to, settings

PLAN: Final = dg.AssetKey("pokeapi_plan")
RECORDS: Final = dg.AssetKey("pokeapi_records")
RANGES: Final = "pokeapi_ranges"
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@cache
def definitions_of(source: Source) -> dg.Definitions:
    """What is deployed, for that source alone."""
    resources = {"outside": OutsideResource(), "io_manager": dg.mem_io_manager}
    rest = dg.Definitions(resources=resources, executor=dg.in_process_executor)
    return dg.Definitions.merge(fetching(source), rest)


@dataclass(frozen=True)
class Deployed:
    """The jobs of a source, over its API, a queue and a warehouse.

    Attributes:
        case: The API and where things are.
        instance: Dagster's storage.
        source: The source.
    """

    case: Case
    instance: dg.DagsterInstance
    source: Source = QUICK

    def stale(self) -> "Deployed":
        """The same at a time when everything is to be looked at again."""
        return replace(self, source=STALE)

    def run(self, job: str, key: str | None = None) -> dg.ExecuteInProcessResult:
        """One run, successful or not."""
        return (
            definitions_of(self.source)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance, partition_key=key, run_config=_QUIET, raise_on_error=False
            )
        )

    def plan(self) -> Mapping[str, Any]:
        """Plans; the metadata of it."""
        result = self.run("plan_pokeapi")
        assert result.success
        return numbers(result)

    def fetch(self, key: str) -> Mapping[str, Any]:
        """Fetches a range; the metadata of it."""
        result = self.run("fetch_pokeapi", key)
        assert result.success
        return numbers(result)

    def ranges(self) -> list[str]:
        """The partitions."""
        return sorted(self.instance.get_dynamic_partitions(RANGES))

    def fetch_all(self) -> Fetched:
        """Fetches every range, as a backfill does; what all of them have done together."""
        done = Fetched()
        for key in self.ranges():
            told = self.fetch(key)
            done += Fetched(*(told[each.name] for each in fields(Fetched)))
        return done

    def kept(self, result: dg.ExecuteInProcessResult) -> str:
        """All that Dagster keeps of a run."""
        run = self.instance.get_run_by_id(result.run_id)
        return "\n".join(map(repr, [run, *self.instance.all_logs(result.run_id)]))


def numbers(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    """The metadata of the one materialisation of a run."""
    (event,) = result.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    return {name: each.value for name, each in metadata.items()}


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """What each check found in a run."""
    return {each.check_name: each for each in result.get_asset_check_evaluations()}


def deploy(
    case: Case, instance: dg.DagsterInstance, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Deployed:
    """A source that the settings of this process lead to."""
    lead_to(surroundings(case, folder), monkeypatch)
    case.sqs.create_queue(QueueName=FEED.queue)
    return Deployed(case, instance)


def surroundings(case: Case, folder: Path) -> dict[str, str]:
    """The environment of a process that is to fetch in a case."""
    endpoint = case.reach.outside.endpoint.url
    assert endpoint is not None
    return {
        **settings(endpoint, case.url, folder),
        "PIPELINE_SOURCE_POKEAPI_URL": str(case.reach.base),
        "PIPELINE_FETCH_PRIVATE": "127.0.0.0/8",
    }
