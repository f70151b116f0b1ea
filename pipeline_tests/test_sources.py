"""A source is one file; what does not hold together is refused before anything runs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import sources
from pipeline.decode import Decoder
from pipeline.errors import ContractError, FetchError
from pipeline.feeds import pokemon
from pipeline.produce.fetch.planning import PageRange, ranges
from pipeline.source import Bounds, named_url
from pipeline.sources import pokeapi
from pipeline_tests import upstream
from pipeline_tests.added_files import AddFile, adding

SOURCE = pokeapi.SOURCE

BERRIES = """
from dataclasses import replace
from pipeline.sources.pokeapi import SOURCE as POKEAPI

SOURCE = replace(POKEAPI, name="berries", list_path="berry/")
"""


@pytest.fixture
def add_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AddFile]:
    """Adds a file to the folder of sources, for the test."""
    with adding(sources, tmp_path, monkeypatch) as add:
        yield add


class TestFolder:
    """Sources are found by being there."""

    def test_the_sources_of_the_folder_are_found(self) -> None:
        assert sources.discover() == (SOURCE,)
        assert sources.find("pokeapi") is SOURCE
        assert sources.feed_of(SOURCE) is pokemon.FEED

    def test_an_added_file_is_found(self, add_source: AddFile) -> None:
        add_source("berries", BERRIES)
        assert [each.name for each in sources.discover()] == ["berries", "pokeapi"]

    def test_a_file_without_a_source_is_refused(self, add_source: AddFile) -> None:
        add_source("berries", "SOURCE = 3")
        with pytest.raises(ContractError, match=r"berries\.py does not define SOURCE"):
            sources.discover()

    def test_two_of_one_name_are_refused(self, add_source: AddFile) -> None:
        add_source("berries", BERRIES.replace('"berries"', '"pokeapi"'))
        with pytest.raises(ContractError, match="2 sources have the name 'pokeapi'"):
            sources.discover()

    def test_one_that_writes_to_no_feed_is_refused(self, add_source: AddFile) -> None:
        add_source("berries", BERRIES.replace("list_path", 'feed="orchard", list_path'))
        with pytest.raises(ContractError, match="source 'berries' writes to a feed"):
            sources.discover()

    def test_an_unknown_name_is_answered_with_those_there_are(self) -> None:
        with pytest.raises(ContractError, match=r"no source of that name\. Choose one of: pokeapi"):
            sources.find("digimon")


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"name": "PokeAPI"}, "name"),
        ({"name": "x" * 41}, "name"),
        ({"base": "pokeapi.co/api/"}, "base"),
        ({"base": "http://pokeapi.co/"}, "base"),
        ({"base": "https://ann:secret@pokeapi.co/"}, "base"),
        ({"base": "https:///api/"}, "base"),
        ({"base": "https://pokeapi.co/api"}, "base"),
        ({"list_path": "/pokemon"}, "list_path"),
        ({"list_path": "//elsewhere.example/"}, "list_path"),
        ({"list_path": "https://elsewhere.example/"}, "list_path"),
        ({"page_size": 0}, "page_size"),
        ({"range_size": -1}, "range_size"),
        ({"concurrency": 0}, "concurrency"),
        ({"requests_per_second": 0.0}, "requests_per_second"),
        ({"attempts": 0}, "attempts"),
        ({"overlap": -1}, "overlap"),
        ({"fresh_for": timedelta(seconds=-1)}, "overlap, fresh_for"),
        ({"bounds": Bounds(record_bytes=0)}, "bounds.record_bytes"),
        ({"bounds": Bounds(longest_pause_seconds=7_200)}, "bounds.longest_pause_seconds"),
    ],
)
def test_a_source_that_does_not_hold_together_is_refused(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(ContractError, match="the source does not hold together") as caught:
        replace(SOURCE, **wrong)
    assert (caught.value.rule or "").startswith(rule)


class TestPokemon:
    """The model of a source."""

    @pytest.mark.parametrize(
        ("height", "weight", "metres", "kilograms"),
        [(7, 69, 0.7, 6.9), (3, 1, 0.3, 0.1), (200, 9_999, 20.0, 999.9), (0, 0, 0.0, 0.0)],
    )
    def test_units_are_exact(
        self, height: int, weight: int, metres: float, kilograms: float
    ) -> None:
        record = SOURCE.transform(upstream.pokemon(1, height=height, weight=weight))
        assert (record["height"], record["weight"]) == (metres, kilograms)

    @pytest.mark.parametrize("experience", [64, None])
    def test_a_record_keeps_the_contract(self, experience: int | None) -> None:
        document = upstream.pokemon(10_001, base_experience=experience)
        body = json.dumps(SOURCE.transform(document))
        row = Decoder(pokemon.FEED).decode(body, datetime.now(UTC))
        assert row.values[:6] == (10_001, "pokemon-10001", 0.7, 6.9, ["grass"], experience)
        assert row.unknown == 0

    def test_nothing_of_it_is_personal(self) -> None:
        assert not any(each.personal for each in pokemon.FEED.fields)


class TestRanges:
    """The partitions that a list is cut into."""

    def test_they_have_all_of_the_list_and_change_with_it_at_the_end_only(self) -> None:
        assert [each.key for each in ranges(401, 200)] == [
            "0000000-0000200",
            "0000200-0000400",
            "0000400-0000600",
        ]
        assert ranges(400, 200) == ranges(401, 200)[:-1]
        assert ranges(0, 200) == []

    def test_a_name_leads_back_to_its_range(self) -> None:
        for each in ranges(2_000_000, 999_999):
            assert PageRange.parse(each.key) == each

    @pytest.mark.parametrize(
        "name", ["", "7", "0000200-0000000", "0000000-0000000", "0-200", "0000000-0000200 ", "x-y"]
    )
    def test_what_is_no_name_of_a_range_is_refused(self, name: str) -> None:
        with pytest.raises(FetchError, match="is no range of pages"):
            PageRange.parse(name)


def test_the_address_of_a_record_is_where_the_entry_says() -> None:
    assert named_url({"name": "x", "url": "/api/v2/pokemon/1/"}) == "/api/v2/pokemon/1/"
