"""How a feed's table is shown in Dagster: its columns, and a few masked rows."""

import statistics
from typing import TYPE_CHECKING

import dagster as dg

from pipeline.consume.settled import SAMPLE_ROWS, Enriched, Settled
from pipeline.contract import Feed
from pipeline.masking.policies import Keep
from pipeline.scrubbing import scrub
from pipeline.warehouse.tables import column_types

if TYPE_CHECKING:
    import pandas as pd

_Shown = str | int | float | bool | None
_LETTERS = 1_000  # a longer text is not shown: half a value would not be known for one
_WITHHELD = "(personal, kept in the table only)"


def column_schema(feed: Feed) -> dg.TableSchema:
    """The columns with types, descriptions, and a tag for each policy and personal field."""
    types = column_types(feed)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=each.name,
                type=types[each.name],
                description=each.description,
                constraints=dg.TableColumnConstraints(nullable=each.nullable),
                tags={"policy": each.policy.name} | ({"personal": ""} if each.personal else {}),
            )
            for each in feed.columns
        ]
    )


def metadata(
    feed: Feed, total: Settled, seconds: float
) -> dict[str, dg.MetadataValue | float | int]:
    """What a run shows of the batches that it has settled in so many seconds."""
    account, ages = total.account, total.ages
    return {
        "rows": account.loaded,
        "received": account.received,
        "duplicate": account.duplicate,
        "quarantined": account.quarantined.total(),
        **{f"quarantined/{reason}": n for reason, n in sorted(account.quarantined.items())},
        "released": account.released,
        "batches": total.batches,
        "not acknowledged": total.kept,
        "unknown fields dropped": total.unknown,
        "messages per second": round(account.received / max(seconds, 1e-9), 1),
        **{f"seconds/{stage}": round(value, 3) for stage, value in total.seconds.items()},
        **({} if total.enriched is None else _enriched(total.enriched)),
        "oldest age on arrival (s)": round(max(ages, default=0.0), 3),
        "median age on arrival (s)": round(statistics.median(ages), 3) if ages else 0.0,
        "preview": preview(feed, total.sample),
        "dagster/column_schema": dg.MetadataValue.table_schema(column_schema(feed)),
    }


def _enriched(enriched: Enriched) -> dict[str, float | int]:
    return {
        "enriched": enriched.records,
        "enrichment failed": enriched.failed,
        "enrichment attempts": enriched.attempts,
        "enrichment median (ms)": round(statistics.median(enriched.medians_ms), 3),
    }


def preview(feed: Feed, masked: "pd.DataFrame") -> dg.TableMetadataValue:
    """The first rows of a masked frame.

    A personal value that the table keeps is withheld all the same: Dagster's storage is not the
    warehouse, and has no roles. What looks personal in any other kept column is scrubbed.
    """
    show = {
        each.name: _plain
        if not isinstance(each.policy, Keep)
        else _withheld
        if each.personal
        else _scrubbed
        for each in feed.columns
    }
    records = [
        dg.TableRecord({str(name): show[str(name)](value) for name, value in row.items()})
        for row in masked.head(SAMPLE_ROWS).to_dict("records")
    ]
    return dg.MetadataValue.table(records, schema=column_schema(feed))


def _plain(value: object) -> _Shown:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _withheld(value: object) -> _Shown:
    return None if value is None else _WITHHELD


def _scrubbed(value: object) -> _Shown:
    text = str(value)
    if len(text) > _LETTERS:
        return f"({len(text)} letters)"
    told = scrub(text)
    return _plain(value) if told == text else told
