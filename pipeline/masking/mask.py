"""Masks a batch column by column, over the distinct values of each."""

from typing import TYPE_CHECKING

from pipeline.contract import Feed, Field
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import Keep

if TYPE_CHECKING:
    import pandas as pd


def mask(feed: Feed, frame: "pd.DataFrame", keyring: Keyring) -> "pd.DataFrame":
    """The frame as it may be stored.

    Args:
        feed: The contract that names each column's policy.
        frame: One row per record, one object column per field, nulls as None.
        keyring: The keys.

    Returns:
        A frame of the same rows and index, with the columns of the table. Null stays null.
    """
    # Late: with numpy a third of a second and 50 MB, which only a run that masks is to pay.
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        {each.name: _mask_column(feed, each, frame[each.name], keyring) for each in feed.columns},
        index=frame.index,
    )


def _mask_column(feed: Feed, field: Field, column: "pd.Series", keyring: Keyring) -> "pd.Series":
    import numpy as np  # noqa: PLC0415 - late, as above
    import pandas as pd  # noqa: PLC0415

    if isinstance(field.policy, Keep):
        return column
    codes, distinct = pd.factorize(column)
    masked = field.policy.mask(
        distinct.tolist(), field.type, keyring.field_keys(feed.name, field.path)
    )
    # The last place answers the code -1, which factorize gives to null.
    lookup = np.array([*masked, None], dtype=object)
    return pd.Series(lookup[codes], index=column.index, dtype=object)
