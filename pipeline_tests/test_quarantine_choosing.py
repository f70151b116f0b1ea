"""Ages, codes and handles are read as people write them, and what they cannot mean is refused."""

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import QuarantineError
from pipeline.operate.quarantine.choosing import (
    handle_of,
    read_age,
    read_codes,
    read_days,
    warnings,
)
from pipeline.reasons import Reason
from pipeline.warehouse.quarantine import Group
from pipeline_tests.samples import CANARY

NOW = datetime.now(UTC)


def test_ages_are_days_or_hours() -> None:
    assert (read_age("7d"), read_age("12h")) == (timedelta(days=7), timedelta(hours=12))
    assert read_days(1.5) == timedelta(hours=36)


@pytest.mark.parametrize(
    "text", ["", "7", "d", "-1d", "1.5d", "7 d", "7D", "\u0667d", "999999d", CANARY]
)
def test_what_is_no_age_is_not_repeated(text: str) -> None:
    with pytest.raises(QuarantineError) as caught:
        read_age(text)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("days", [-1.0, 1e12, float("nan"), float("inf")])
def test_days_that_are_none_are_refused(days: float) -> None:
    with pytest.raises(QuarantineError, match="number of days"):
        read_days(days)


def test_codes_are_those_of_the_quarantine() -> None:
    assert read_codes(["missing", "not_json"]) == (Reason.MISSING, Reason.NOT_JSON)
    with pytest.raises(QuarantineError, match="bad_address") as caught:
        read_codes(["missing", CANARY])
    assert CANARY not in str(caught.value)


def test_a_handle_is_the_beginning_of_a_key() -> None:
    assert handle_of(bytes.fromhex("00ff" * 16)) == "00ff00ff00ff"


def test_whoever_redrives_is_warned_of_what_the_ledger_cannot_know() -> None:
    young = Group("missing", "ip", 3, NOW, NOW, 1)
    old = Group("missing", "ip", 3, NOW - timedelta(days=29), NOW, 1)
    conflict = Group("conflict", None, 2, NOW, NOW, 1)
    assert warnings([young]) == []
    assert [line[:18] for line in warnings([conflict, young])] == ["of them 2 are conf"]
    assert [line[:13] for line in warnings([old])] == ["some lie ther"]
