"""How Dagster shows what lies in the quarantine: counts and codes, never content."""

from collections.abc import Sequence
from typing import Final

import dagster as dg

from pipeline.warehouse.quarantine import Group

_COLUMNS: Final = dg.TableSchema(
    columns=[
        dg.TableColumn("reason", description="The reason code: which rule was broken."),
        dg.TableColumn("column", description="The column at fault, where one is."),
        dg.TableColumn("messages", "int"),
        dg.TableColumn("oldest (UTC)", description="When the first of them came."),
        dg.TableColumn("newest (UTC)", description="When the last one came."),
        dg.TableColumn("deliveries", "int", description="How often one was delivered, at most."),
    ]
)


def table(groups: Sequence[Group]) -> dg.TableMetadataValue:
    """What lies there by reason and column, as a table."""
    records = [
        dg.TableRecord(
            {
                "reason": each.reason,
                "column": each.field,
                "messages": each.messages,
                "oldest (UTC)": f"{each.oldest:%Y-%m-%d %H:%M}",
                "newest (UTC)": f"{each.newest:%Y-%m-%d %H:%M}",
                "deliveries": each.receive_count,
            }
        )
        for each in groups
    ]
    return dg.MetadataValue.table(records, schema=_COLUMNS)
