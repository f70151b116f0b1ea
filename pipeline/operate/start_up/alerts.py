"""The rules for the settings of alerts: one that is wrong may silence what it is there for."""

from collections.abc import Iterator, Mapping

from pipeline.operate.alerts.settings import read_sound
from pipeline.operate.start_up.finding import Finding, unavailable

_WHERE = "alerts"


def check_alerts(environment: Mapping[str, str], *, embedded: bool) -> Iterator[Finding]:
    """Whether somebody is told of what fails.

    Args:
        environment: The settings of this process.
        embedded: Whether it is a trial on embedded services, which need no alerts.
    """
    settings, wrong = read_sound(environment)
    for error in wrong:
        yield unavailable(_WHERE, error)
    if not embedded and not wrong and not settings.channels:
        yield Finding(
            "warning",
            _WHERE,
            "no channel is set: nobody is told of what fails",
            "Set one of those in docs/alerts.md",
        )
