"""The outside world as a Dagster resource; apart, so that the commands need not import Dagster."""

import os

import dagster as dg

from pipeline.resources.outside import Outside


class OutsideResource(dg.ConfigurableResource[Outside]):
    """What ops and sensors ask for by the name `outside`.

    It has no configuration: where a run reads and writes is decided by the environment of the
    deployment, so that nobody can point one at another queue or table from the web UI.
    """

    def reach(self) -> Outside:
        """What the environment of this process leads to, as `Outside.of`."""
        return Outside.of(os.environ)
