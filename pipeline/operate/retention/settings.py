"""For how many days things are kept: by the environment, and never less than their floors."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

from pipeline.errors import SettingsError

LEDGER_FLOOR: Final = 28
"""Days: 14 on the source queue and 14 on its dead-letter queue, SQS's longest retention of each.

The database refuses less as well.
"""

_LONGEST: Final = 36_500
_FLOORS: Final = {
    "ledger_days": LEDGER_FLOOR,
    # What is redelivered so late would be counted a second time.
    "quarantine_days": LEDGER_FLOOR,
    "account_days": 90,
    "audit_days": 1_096,
    # A day is looked back upon; the sensors look at the latest runs.
    "runs_days": 2,
}


@dataclass(frozen=True, slots=True)
class Retention:
    """Days, each of 24 hours.

    Attributes:
        ledger_days: The ledger of settled messages.
        quarantine_days: Messages in the quarantine.
        account_days: The accounts of batches, and of what has left the quarantine.
        audit_days: The audit.
        runs_days: Dagster's finished runs, with their events and compute logs.
    """

    ledger_days: int = 35
    quarantine_days: int = 90
    account_days: int = 366
    audit_days: int = 1_096
    runs_days: int = 30


def setting_of(name: str) -> str:
    """The environment setting of an attribute of `Retention`."""
    return f"PIPELINE_RETENTION_{name.upper()}"


def read_retention(environment: Mapping[str, str]) -> Retention:
    """The days of an environment.

    Raises:
        SettingsError: A setting is no number, or below its floor.
    """
    given = {each.name: environment.get(setting_of(each.name)) for each in fields(Retention)}
    return Retention(**{name: _days(name, text) for name, text in given.items() if text})


def _days(name: str, text: str) -> int:
    floor = _FLOORS[name]
    if re.fullmatch("[0-9]{1,5}", text) and floor <= int(text) <= _LONGEST:
        return int(text)
    raise SettingsError(
        f"{setting_of(name)} is not a number of days from {floor} to {_LONGEST}",
        remedy=f"Set it to {floor} or more, or leave it out for {getattr(Retention(), name)}"
        " (docs/retention.md)",
    )
