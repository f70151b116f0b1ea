"""Which of Dagster's runs are this project's: several may share one storage."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import dagster as dg

SCHEDULE: Final = "retention_schedule"
_OF_OURS: Final = {SCHEDULE, "alerts", "start_up_sensor"}
"""By what a code location that runs this project is known: the daemon keeps a state of each."""


@dataclass(frozen=True, slots=True)
class History:
    """What Dagster has of this project's runs.

    Attributes:
        instance: Dagster's storage.
        location: The code location whose runs are meant; None where it is not known.
        jobs: The names of our jobs: by them a run is known that came from no code location, as
            those of the command line.
    """

    instance: dg.DagsterInstance
    location: str | None
    jobs: Collection[str]

    def has(self, run: dg.DagsterRun) -> bool:
        """Whether a run is ours; where that is not certain, it is not."""
        if (origin := run.remote_job_origin) is not None:
            return origin.location_name == self.location
        return run.job_name in self.jobs


def location_of(run: dg.DagsterRun) -> str | None:
    """The code location that a run was launched from; None for one of the command line."""
    return run.remote_job_origin.location_name if run.remote_job_origin else None


def find_location(instance: dg.DagsterInstance) -> str | None:
    """The one code location that runs this project; None where there is none, or several."""
    found: dict[str, set[str]] = {}
    for state in instance.all_instigator_state():
        place = state.origin.repository_origin.code_location_origin.location_name
        found.setdefault(place, set()).add(state.name)
    ours = [place for place, names in found.items() if names >= _OF_OURS]
    return ours[0] if len(ours) == 1 else None
