"""How a feed's table is shown in Dagster: its columns, and a few masked rows."""

import dagster as dg
import pandas as pd

from pipeline.contract import Feed
from pipeline.masking.policies import Keep
from pipeline.warehouse.tables import column_types

_ROWS = 5
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


def preview(feed: Feed, masked: pd.DataFrame) -> dg.TableMetadataValue:
    """The first rows of a masked frame.

    A personal value that the table keeps is withheld all the same: Dagster's storage is not the
    warehouse, and has no roles.
    """
    withheld = {
        each.name for each in feed.columns if each.personal and isinstance(each.policy, Keep)
    }
    records = [
        dg.TableRecord(
            {
                str(name): _WITHHELD if name in withheld and value is not None else _shown(value)
                for name, value in row.items()
            }
        )
        for row in masked.head(_ROWS).to_dict("records")
    ]
    return dg.MetadataValue.table(records, schema=column_schema(feed))


def _shown(value: object) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
