"""Coarse values: a constant, a last few characters, a month, a bucket, and never more."""

import math
import unicodedata
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.masking.policies import Generalize, Last, Redact
from pipeline.types import Date, FieldType, Integer, Number, Text, Timestamp
from pipeline_tests.policy_cases import SOUND, keys_for
from pipeline_tests.samples import quickly

TEXT = Text(50)
KEYS = keys_for("text")


def coarse(step: object, kind: FieldType, *values: object) -> list[object]:
    return Generalize(step).mask(values, kind, KEYS)  # type: ignore[arg-type]


def test_a_redacted_value_is_one_constant() -> None:
    assert Redact().mask(["", "Ann", "Bob"], TEXT, KEYS) == ["[redacted]"] * 3


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("593-47-5928", "****5928"),
        ("12345678", "****5678"),
        ("1234567", "****567"),
        ("12", "****2"),
        ("1", "****"),
        ("", "****"),
        ("🎉🎊", "****🎊"),
    ],
)
def test_the_last_characters_stay_but_never_more_than_half(value: str, shown: str) -> None:
    assert Last().mask([value], TEXT, KEYS) == [shown]


@quickly
@given(st.text(SOUND, max_size=50), st.integers(1, 8))
def test_last_shows_an_end_of_at_most_half_and_at_most_the_count(text: str, count: int) -> None:
    normal = unicodedata.normalize("NFC", text)
    (masked,) = Last(count).mask([text], TEXT, KEYS)
    stars, shown = str(masked)[:4], str(masked)[4:]
    assert stars == "****"
    assert normal.endswith(shown)
    assert len(shown) <= min(count, len(normal) / 2)


def test_two_spellings_of_one_text_end_alike() -> None:
    spellings = [unicodedata.normalize(form, "Zoé Zoé") for form in ("NFC", "NFD")]
    assert len(set(spellings)) == 2
    assert len(set(Last(1).mask(spellings, TEXT, KEYS))) == 1


def test_dates_and_moments_become_the_first_day_of_their_month_or_year_by_utc() -> None:
    days = [date(2024, 2, 29), date(1, 1, 1)]
    assert coarse("month", Date(), *days) == [date(2024, 2, 1), date(1, 1, 1)]
    assert coarse("year", Date(), *days) == [date(2024, 1, 1), date(1, 1, 1)]
    late = Timestamp().read("2023-12-31T23:30:00-05:00")
    assert coarse("month", Timestamp(), late) == [date(2024, 1, 1)]
    assert coarse("year", Timestamp(), late) == [date(2024, 1, 1)]
    assert type(coarse("year", Timestamp(), late)[0]) is date


@pytest.mark.parametrize(
    ("width", "value", "bound"),
    [
        (10, 0, 0),
        (10, 9, 0),
        (10, 10, 10),
        (10, -1, -10),
        (10.0, -10, -10),
        (3, 2**63 - 1, (2**63 - 1) // 3 * 3),
        (10, -(2**63), -(2**63)),
        (10**30, -1, -(2**63)),
    ],
)
def test_a_whole_number_becomes_the_lower_bound_of_its_bucket(
    width: float, value: int, bound: int
) -> None:
    (masked,) = coarse(width, Integer(), value)
    assert (type(masked), masked) == (int, bound)


@pytest.mark.parametrize(
    ("width", "value", "bound"),
    [
        (10, 9.99, 0.0),
        (10, -0.01, -10.0),
        (0.5, 0.75, 0.5),
        (0.1, 0.5, 0.5),
        (0.1, 0.6, 0.6),
        (0.1, 0.3, 0.3),
        (0.1, 0.39999999999999997, 0.3),
        (0.1, -5e-324, -0.1),
        (1e308, -1.7976931348623157e308, -1.7976931348623157e308),
        (0.1, 1e308, 1e308),
    ],
)
def test_a_number_becomes_the_lower_bound_of_its_bucket_in_decimals(
    width: float, value: float, bound: float
) -> None:
    (masked,) = coarse(width, Number(), value)
    assert (type(masked), masked) == (float, bound)


def test_no_bucket_of_numbers_begins_at_a_negative_zero() -> None:
    (masked,) = coarse(10, Number(), 0.0)
    assert math.copysign(1, float(str(masked))) == 1


@quickly
@given(st.integers(-(10**6), 10**6), st.sampled_from([0.1, 0.05, 0.7, 2.5, 10, 1000]))
def test_the_numbers_of_a_bucket_are_one_and_so_is_its_bound(bucket: int, width: float) -> None:
    """In binary arithmetic bounds of tenths differ in their last bit, or fall one bucket down."""
    inside = [float(f"{round(bucket + part, 3)}") * width for part in (0.25, 0.5, 0.75)]
    (bound,) = {*coarse(width, Number(), *inside)}
    assert coarse(width, Number(), bound) == [bound]
    low = float(str(bound))
    assert all(low <= value <= low + width * (1 + 1e-9) for value in inside)


@quickly
@given(st.datetimes(timezones=st.just(UTC)), st.sampled_from(["month", "year"]))
def test_the_first_day_of_a_month_or_a_year_is_its_own(moment: datetime, step: str) -> None:
    (first,) = coarse(step, Timestamp(), moment)
    assert coarse(step, Date(), first) == [first]
    assert isinstance(first, date)
    assert timedelta(0) <= moment.date() - first < timedelta(366)


RULES: dict[str, tuple[Last | Generalize, FieldType, str]] = {
    "last of a number": (Last(), Integer(), "for the type Text"),
    "last none": (Last(0), TEXT, "count is between 1 and 8"),
    "last nine": (Last(9), TEXT, "count is between 1 and 8"),
    "month of a number": (Generalize("month"), Integer(), "has a whole width"),
    "month of a fraction": (Generalize("month"), Number(), "is a positive number"),
    "bucket of dates": (Generalize(7), Date(), '"month" or "year"'),
    "day": (Generalize("day"), Timestamp(), '"month" or "year"'),  # type: ignore[arg-type]
    "bucket of nothing": (Generalize(0), Integer(), "has a whole width"),
    "bucket of one": (Generalize(1), Integer(), "has a whole width of at least 2"),
    "bucket of halves": (Generalize(2.5), Integer(), "has a whole width"),
    "bucket of all whole numbers": (Generalize(math.inf), Integer(), "has a whole width"),
    "bucket of not a number": (Generalize(math.nan), Integer(), "has a whole width"),
    "bucket of no width": (Generalize(0.0), Number(), "is a positive number"),
    "bucket of less": (Generalize(-1), Number(), "is a positive number"),
    "bucket of everything": (Generalize(math.inf), Number(), "is a positive number"),
    "bucket of no number": (Generalize(math.nan), Number(), "is a positive number"),
    "bucket of texts": (Generalize(10), TEXT, "for dates, timestamps, integers and numbers"),
}


@pytest.mark.parametrize(("policy", "kind", "rule"), RULES.values(), ids=RULES)
def test_a_step_that_does_not_fit_is_refused_with_its_rule(
    policy: Last | Generalize, kind: FieldType, rule: str
) -> None:
    problem = policy.problem(kind, personal=True)
    assert problem is not None
    assert problem.startswith("policy: ")
    assert rule in problem
