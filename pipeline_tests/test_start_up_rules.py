"""What the start-up checks say of queues, limits and clocks: on both sides of each bound."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import pytest

from pipeline.operate.start_up.clocks import check_clock
from pipeline.operate.start_up.finding import Finding
from pipeline.operate.start_up.queues import (
    check_dead_letters,
    check_environment_tag,
    check_ledger,
    check_queue,
)
from pipeline.operate.start_up.runs import Monitoring, check_connections, check_monitoring
from pipeline.resources.queue_facts import QueueFacts
from pipeline_tests.samples import EVERY_TYPE, USER_LOGINS, small

DAY: Final = 86_400
SOURCE: Final = QueueFacts(
    name="logins",
    url="http://sqs/logins",
    retention=14 * DAY,
    dead_letters="letters",
    deliveries=20,
    encrypted=True,
    skew=0.0,
)
LETTERS: Final = replace(SOURCE, name="letters", dead_letters=None, deliveries=0)
MONITORING: Final = Monitoring(enabled=True, longest=900, resumes=0)


def said(findings: Iterable[Finding]) -> list[str]:
    """The level of each finding, and a word of it."""
    return [f"{each.level}: {each}" for each in findings]


def test_sound_settings_are_not_remarked_upon() -> None:
    assert said(check_queue(USER_LOGINS, SOURCE)) == []
    assert said(check_dead_letters(USER_LOGINS, SOURCE, LETTERS)) == []
    assert said(check_ledger(SOURCE, LETTERS, 28)) == []
    assert said(check_environment_tag(SOURCE, "prod", "prod")) == []
    assert said(check_environment_tag(SOURCE, None, None)) == []
    assert said(check_monitoring([USER_LOGINS], MONITORING)) == []
    assert said(check_connections([USER_LOGINS], 4)) == []


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"retention": 14 * DAY - 1}, "warning", "drops messages after"),
        ({"dead_letters": None}, "error", "has no redrive policy"),
        ({"deliveries": 19}, "error", "maxReceiveCount of 19"),
        ({"encrypted": False}, "warning", "unencrypted at rest"),
    ],
)
def test_a_queue_that_is_set_wrongly(change: dict[str, object], level: str, words: str) -> None:
    """Faults 16 and 19."""
    (line,) = said(check_queue(USER_LOGINS, replace(SOURCE, **change)))  # type: ignore[arg-type]
    assert line.startswith(f"{level}: queue logins: ")
    assert words in line


@pytest.mark.parametrize(
    ("change", "level", "words"),
    [
        ({"retention": 13 * DAY}, "error", "some are dropped on arrival"),
        ({"dead_letters": "more"}, "warning", "a redrive policy of its own"),
        ({"encrypted": False}, "warning", "unencrypted at rest"),
    ],
)
def test_a_dead_letter_queue_that_is_set_wrongly(
    change: dict[str, object], level: str, words: str
) -> None:
    """Fault 17."""
    letters = replace(LETTERS, **change)  # type: ignore[arg-type]
    (line,) = said(check_dead_letters(USER_LOGINS, SOURCE, letters))
    assert line.startswith(f"{level}: dead-letter queue letters: ")
    assert words in line


def test_of_two_short_retentions_the_longer_is_only_warned_of() -> None:
    source = replace(SOURCE, retention=4 * DAY)
    letters = replace(LETTERS, retention=5 * DAY)
    (line,) = said(check_dead_letters(USER_LOGINS, source, letters))
    assert line.startswith("warning")


def test_the_ledger_remembers_for_as_long_as_both_queues_keep() -> None:
    """Fault 53."""
    (line,) = said(check_ledger(SOURCE, LETTERS, 27))
    assert "28 days, the ledger remembers 27 days" in line
    assert line.endswith("Set PIPELINE_RETENTION_LEDGER_DAYS to 28 or more")
    assert said(check_ledger(SOURCE, None, 14)) == []


@pytest.mark.parametrize(
    ("tagged", "environment", "level"),
    [("prod", "staging", "error"), (None, "staging", "warning"), ("prod", None, "warning")],
)
def test_a_queue_says_whose_it_is(tagged: str | None, environment: str | None, level: str) -> None:
    """Fault 72."""
    (line,) = said(check_environment_tag(SOURCE, tagged, environment))
    assert line.startswith(level)


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({"enabled": False}, "error"),
        ({"resumes": 3}, "error"),
        ({"longest": 0}, "error"),
        ({"ticks_end": False}, "warning"),
        ({"longest": USER_LOGINS.limits.hold_seconds - 1}, "warning"),
        ({"longest": USER_LOGINS.limits.run_age_seconds + 1}, "warning"),
    ],
)
def test_an_instance_that_does_not_go_with_the_limits(change: dict[str, float], level: str) -> None:
    """Faults 58 and 60."""
    monitoring = replace(MONITORING, **change)  # type: ignore[arg-type]
    (line,) = said(check_monitoring([USER_LOGINS], monitoring))
    assert line.startswith(level)


def test_runs_that_may_not_all_find_a_connection_are_told_of() -> None:
    """Fault 48."""
    feeds = [small(USER_LOGINS, max_runs=3), small(EVERY_TYPE, max_runs=2)]
    assert said(check_connections(feeds, 10)) == []
    (line,) = said(check_connections(feeds, 9))
    assert "9 connections are left for this log-in, 5 runs may want 10" in line


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        (None, []),
        (9.9, []),
        (-9.9, []),
        (12.0, ["warning: SQS: its clock is 12 s ahead of this machine's"]),
        (-12.0, ["warning: SQS: its clock is 12 s behind this machine's"]),
        (300.0, ["error: SQS: its clock is 300 s ahead of this machine's"]),
    ],
)
def test_clocks_that_differ_are_told_of(ahead: float | None, told: list[str]) -> None:
    """Faults 24 and 71."""
    assert [line.split(". ")[0] for line in said(check_clock("SQS", ahead))] == told
