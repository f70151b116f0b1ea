"""Deletes Dagster's finished runs that are old, with their events, checks and compute logs.

Dagster has no retention of its own for them (dagster#33785).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage, SqliteEventLogStorage
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from pipeline.operate.retention.history import History
from pipeline.operate.retention.portions import Pruned, Tell, prune

_FINISHED: Final = [
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
]
_AT_ONCE: Final = 500  # runs in memory
_PORTION: Final = 20
_SHOWN: Final = (
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.ASSET_OBSERVATION,
)
_LOOKED_UP: Final = 500  # events in one question


def prune_runs(history: History, before: datetime, *, until: float, tell: Tell) -> Pruned:
    """Deletes our runs that were finished before a moment, but those that an asset still shows.

    Args:
        history: Whose runs, and where.
        before: The moment.
        until: The moment of the monotonic clock after which no portion begins.
        tell: Gets a line now and then.
    """
    kept: Counter[str] = Counter()
    pruned = prune("runs", _portions(history, before, kept), until=until, tell=tell)
    why = ", ".join(sorted(kept))
    trouble = f"the compute logs of {kept.total()} runs are still there ({why})" if kept else ""
    return replace(pruned, trouble=trouble)


def _portions(history: History, before: datetime, kept: Counter[str]) -> Iterator[int]:
    shown = _shown(history.instance)
    for page in _pages(history.instance, before):
        run_ids = [run.run_id for run in page if history.has(run) and run.run_id not in shown]
        for first in range(0, len(run_ids), _PORTION):
            portion = run_ids[first : first + _PORTION]
            _delete_checks(history.instance, portion)
            for run_id in portion:
                _delete(history.instance, run_id, kept)
            yield len(portion)
        yield 0  # a page without any of ours takes its time too


def _pages(instance: dg.DagsterInstance, before: datetime) -> Iterator[Sequence[dg.DagsterRun]]:
    """The runs that were finished before a moment, the oldest first.

    The next page is read while the last run of this one is there: Dagster goes on from its row.
    """
    old = dg.RunsFilter(statuses=_FINISHED, updated_before=before)
    page = instance.get_runs(old, limit=_AT_ONCE, ascending=True)
    while page:
        following = instance.get_runs(old, page[-1].run_id, limit=_AT_ONCE, ascending=True)
        yield page
        page = following


def _delete(instance: dg.DagsterInstance, run_id: str, kept: Counter[str]) -> None:
    """The run itself goes last: what is left where this is killed is found again by it.

    Args:
        instance: Dagster's storage.
        run_id: The run.
        kept: By the type of the error, of how many runs a store let no compute log be deleted.
    """
    try:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
    except Exception as error:  # noqa: BLE001 - any store; one that keeps its logs stops nothing
        kept[type(error).__name__] += 1
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
