"""Which release of this project a process runs."""

import platform
from importlib import metadata
from typing import Final

_DISTRIBUTION: Final = "sqs-postgres-pipeline"


def build_info() -> dict[str, str]:
    """The versions that the metric `pipeline_build_info` names, of every process alike."""
    try:
        version = metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:  # code that was copied, and not installed
        version = "unknown"
    return {"version": version, "python": platform.python_version()}
