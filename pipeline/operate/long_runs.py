"""What runs have in common that last for hours: one at a time, and behind batches that wait."""

from typing import Final

POOL: Final = "long_runs"
"""The pool of Dagster that they are in: `dagster.yaml` lets one run of a pool work at a time."""


def long_run(hours: int) -> dict[str, str]:
    """The tags of a job whose runs may take so long.

    The deployment's own limit is meant for runs that hold a batch.
    """
    return {"dagster/max_runtime": str(hours * 3600), "dagster/priority": "-1"}
