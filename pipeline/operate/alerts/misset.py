"""Settings of alerts that cannot be used: told by the channels that are set well."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.errors import SettingsError
from pipeline.operate.alerts.alert import Alert
from pipeline.operate.alerts.failures import Failure

_EVERY: Final = 1_800.0  # seconds; within the hour after which it is told again, if it goes on


@dataclass(frozen=True, slots=True)
class Misset:
    """A `Kind`: settings that cannot be used, in the order of time.

    Attributes:
        errors: What is wrong with them; nothing of what they hold.
        now: In seconds since the epoch.
    """

    errors: Sequence[SettingsError]
    now: float

    def newest(self) -> float:
        """As `Kind`: whatever is wrong is new."""
        return 0.0

    def after(self, position: float, limit: int) -> tuple[list[Failure], float]:
        """As `Kind`."""
        position = min(position, self.now)
        if not self.errors or limit < 1 or self.now - position < _EVERY:
            return [], position
        alert = Alert(
            code=self.errors[0].code,
            feed=None,
            place="the settings of alerts",
            what="; ".join(error.what for error in self.errors),
            remedy="; ".join(error.remedy for error in self.errors),
            at=self.now,
        )
        return [Failure(alert, self.now, "settings")], self.now

    def is_over(self, subject: str) -> bool:
        """As `Kind`."""
        return not (subject and self.errors)
