"""The names by which a benchmark and the definitions that it deploys know the same things.

They stand apart, so that a benchmark need not import Dagster, whose memory would be taken for its
own.
"""

from typing import Final

FEED: Final = "user_logins"
"""The feed that is measured."""

SENSOR: Final = f"{FEED}_sensor"
JOB: Final = f"ingest_{FEED}"

SENSORS: Final = "BENCHMARK_SENSORS"
"""Tells the deployed definitions, as `NONE` or `EMPTY`, what becomes of their sensors."""

NONE: Final = "none"
"""They are left out."""

EMPTY: Final = "empty"
"""Others stand in their places, with their names and intervals, and do nothing."""

LINGER: Final = "BENCHMARK_LINGER_SECONDS"
"""Tells them how long few messages of the feed wait for company, in place of its contract."""

REQUEST: Final = "BENCHMARK_REQUEST"
"""Tells the trivial location which file asks for a run."""

ASKED_AT: Final = "benchmark/asked_at"
"""The tag of a trivial run that tells when the file was written."""

TRIVIAL_JOB: Final = "trivial"
TRIVIAL_SENSOR: Final = "trivial_sensor"
