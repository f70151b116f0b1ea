"""Deletes Dagster's finished runs that are old, with their events, checks and compute logs.

Dagster has no retention of its own for them (dagster#33785).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from pipeline.operate.retention.portions import Pruned, Tell, prune

_FINISHED: Final = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_AT_ONCE: Final = 20_000  # ids in memory; more than that are the next day's
_PORTION: Final = 20
_SHOWN: Final = (
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
)
_LOOKED_UP: Final = 500  # events in one question


def prune_runs(
    instance: dg.DagsterInstance, before: datetime, *, until: float, tell: Tell
) -> Pruned:
    """Deletes the runs that were finished before a moment, but those that an asset still shows.

    Args:
        instance: Dagster's storage.
        before: The moment.
        until: The moment of the monotonic clock after which no portion begins.
        tell: Gets a line now and then.
    """
    old = dg.RunsFilter(statuses=_FINISHED, updated_before=before)
    shown = _shown(instance)
    run_ids = [each for each in instance.get_run_ids(old, limit=_AT_ONCE) if each not in shown]
    return prune("runs", _portions(instance, run_ids), until=until, tell=tell)


def _portions(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> Iterator[int]:
    for first in range(0, len(run_ids), _PORTION):
        portion = run_ids[first : first + _PORTION]
        _delete_checks(instance, portion)
        for run_id in portion:
            _delete(instance, run_id)
        yield len(portion)


def _delete(instance: dg.DagsterInstance, run_id: str) -> None:
    """The run itself goes last: what is left where this is killed is found again by it."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    events = instance.event_log_storage
    events.delete_events(run_id)
    instance.delete_run(run_id)
    if isinstance(events, SqliteEventLogStorage):  # it empties the run's file, and leaves it there
        Path(events.path_for_shard(run_id)).unlink(missing_ok=True)


def _delete_checks(instance: dg.DagsterInstance, run_ids: Sequence[str]) -> None:
    """Deletes what the checks of some runs have found, which Dagster keeps apart and for ever."""
    events = instance.event_log_storage
    if isinstance(events, SqlEventLogStorage):
        theirs = AssetCheckExecutionsTable.c.run_id.in_(run_ids)
        with events.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.delete().where(theirs))


def _shown(instance: dg.DagsterInstance) -> set[str]:
    """The runs of each asset's latest events, partition by partition.

    The plan of a source, and which of its ranges are fetched, are known by these events only.
    """
    return {
        run_id
        for key in instance.all_asset_keys()
        for kind in _SHOWN
        for run_id in (*_latest(instance, key, kind), *_of_partitions(instance, key, kind))
    }


def _latest(instance: dg.DagsterInstance, key: dg.AssetKey, kind: dg.DagsterEventType) -> list[str]:
    return _runs(instance, dg.AssetRecordsFilter(key), kind, limit=1)


def _of_partitions(
    instance: dg.DagsterInstance, key: dg.AssetKey, kind: dg.DagsterEventType
) -> Iterator[str]:
    found = list(instance.get_latest_storage_id_by_partition(key, kind).values())
    for first in range(0, len(found), _LOOKED_UP):
        some = found[first : first + _LOOKED_UP]
        yield from _runs(
            instance, dg.AssetRecordsFilter(key, storage_ids=some), kind, limit=len(some)
        )


def _runs(
    instance: dg.DagsterInstance,
    wanted: dg.AssetRecordsFilter,
    kind: dg.DagsterEventType,
    *,
    limit: int,
) -> list[str]:
    observed = kind is dg.DagsterEventType.ASSET_OBSERVATION
    fetch = instance.fetch_observations if observed else instance.fetch_materializations
    return [record.run_id for record in fetch(wanted, limit=limit).records]
