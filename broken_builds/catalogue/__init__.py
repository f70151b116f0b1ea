"""All broken builds, by what they break."""

from typing import Final

from broken_builds.build import Build
from broken_builds.catalogue import (
    acknowledging,
    alerting,
    identifying,
    loading,
    masking,
    redriving,
    repeating,
    running,
    sending,
    serving,
    transporting,
)
from broken_builds.catalogue import retention as keeping

CATALOGUE: Final[tuple[Build, ...]] = (
    *acknowledging.BUILDS,
    *loading.BUILDS,
    *identifying.BUILDS,
    *running.BUILDS,
    *repeating.BUILDS,
    *masking.BUILDS,
    *redriving.BUILDS,
    *sending.BUILDS,
    *serving.BUILDS,
    *transporting.BUILDS,
    *keeping.BUILDS,
    *alerting.BUILDS,
)
"""In the order in which they are told."""
