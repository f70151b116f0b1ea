"""What Dagster knows a source by: its assets, its partitions, the plan that it made last."""

from dataclasses import dataclass
from typing import cast

import dagster as dg

from pipeline.produce.fetch.planning import ranges
from pipeline.source import Source

COUNT = "count"
"""The metadata of a plan that says how many records the list had."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The latest materialisation of a source's plan.

    Attributes:
        number: Its place in Dagster's log of events; what came later has a greater one.
        made_at: When, in seconds since the epoch.
        count: How many records the list had.
    """

    number: int
    made_at: float
    count: int


def plan_key(source: Source) -> dg.AssetKey:
    """The asset that is the plan."""
    return dg.AssetKey(f"{source.name}_plan")


def records_key(source: Source) -> dg.AssetKey:
    """The asset whose partitions are the ranges."""
    return dg.AssetKey(f"{source.name}_records")


def fetch_job_name(source: Source) -> str:
    """The job that fetches a range."""
    return f"fetch_{source.name}"


def partitions(source: Source) -> dg.DynamicPartitionsDefinition:
    """The partitions, to which a plan adds."""
    return dg.DynamicPartitionsDefinition(name=f"{source.name}_ranges")


def partition(instance: dg.DagsterInstance, source: Source, count: int) -> dict[str, int]:
    """Makes the partitions those of a list of that length: how many there are, came and went."""
    name = f"{source.name}_ranges"
    wanted = {each.key for each in ranges(count, source.range_size)}
    there = set(instance.get_dynamic_partitions(name))
    instance.add_dynamic_partitions(name, sorted(wanted - there))
    for key in there - wanted:
        instance.delete_dynamic_partition(name, key)
    return {
        "ranges": len(wanted),
        "ranges added": len(wanted - there),
        "ranges removed": len(there - wanted),
    }


def plan_of(instance: dg.DagsterInstance, source: Source) -> Plan | None:
    """The plan that was made last, if one was."""
    found = instance.fetch_materializations(plan_key(source), limit=1).records
    if not found or (made := found[0].asset_materialization) is None:
        return None
    count = cast("int", made.metadata[COUNT].value)
    return Plan(found[0].storage_id, found[0].timestamp, count)


def unfetched(instance: dg.DagsterInstance, source: Source, plan: Plan) -> list[str]:
    """The ranges that have not been fetched since the plan, in their order."""
    fetched = instance.get_materialized_partitions(records_key(source), after_cursor=plan.number)
    return sorted(set(instance.get_dynamic_partitions(f"{source.name}_ranges")) - fetched)


def longest_run(source: Source) -> float:
    """Seconds after which a run of a source is dead, whatever Dagster's storage says of it.

    An hour, or twenty times what a range takes at the source's pace, where that is longer: pages,
    attempts and other runs go by the same pace.
    """
    return max(3600.0, 20 * source.range_size / source.requests_per_second)
