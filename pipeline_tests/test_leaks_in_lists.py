"""The leak scan finds each value of a list, and reads a column of any length bit by bit."""

import weakref
from collections.abc import Iterator

import pytest

from pipeline.masking.leaks import EVERYWHERE, Kind, find, scan


class _Value(str):
    """A text that tells when it is gone."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4111111111111111,12/27,123", ["4111111111111111"]),
        ("4111111111111111,5555555555554444", ["4111111111111111", "5555555555554444"]),
        ("1,4111111111111111", ["4111111111111111"]),
        ("7,4111-1111-1111-1111,3782 822463 10005", ["4111-1111-1111-1111", "3782 822463 10005"]),
        ("415-555-0100,415-555-2671", ["415-555-0100", "415-555-2671"]),
        ("1,(415) 555-0100,2", ["(415) 555-0100"]),
        ("593-47-5928,1980-01-01,219-09-9999", ["593-47-5928", "219-09-9999"]),
        ("1,234,567.89", []),
        ("86 095 742 719,50", []),
    ],
)
def test_each_value_of_a_list_with_commas_is_found(text: str, found: list[str]) -> None:
    assert [text[start:end] for _, start, end in find(text, frozenset(Kind))] == found


def test_a_column_of_any_length_is_read_once_and_not_kept() -> None:
    read: list[weakref.ref[_Value]] = []

    def column() -> Iterator[tuple[str, int]]:
        for number in range(5_000):
            read.append(weakref.ref(value := _Value(f"{number} ann@example.org")))
            assert sum(each() is not None for each in read[-2_500:]) <= 2_100
            yield value, 2

    assert scan(column(), EVERYWHERE) == {Kind.EMAIL: 10_000}
