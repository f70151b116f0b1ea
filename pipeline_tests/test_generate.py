"""Generated events keep their contract, but for the shares that are to break it or to repeat."""

import json
import math
import random
from collections import Counter
from dataclasses import replace
from typing import Final

import pytest

from pipeline.contract import Feed, Field
from pipeline.decode import Decoder
from pipeline.errors import SeedError
from pipeline.masking.policies import Keep
from pipeline.messages import Event
from pipeline.produce.generate import Recipe, evenly, generate
from pipeline.produce.spoil import spoilable
from pipeline.reasons import Reason, Refused
from pipeline.types import Number
from pipeline_tests.samples import EVERY_TYPE, USER_LOGINS, decode

FEEDS: Final = [USER_LOGINS, EVERY_TYPE]
NAMES: Final = [feed.name for feed in FEEDS]


def made(feed: Feed, recipe: Recipe) -> list[Event]:
    return list(generate(feed, recipe))


def reasons(feed: Feed, events: list[Event]) -> Counter[Reason | None]:
    """How many events are refused for each reason; None for those that are read."""
    decoder = Decoder(feed)

    def reason(event: Event) -> Reason | None:
        try:
            decode(decoder, event.body)
        except Refused as refused:
            return refused.reason
        return None

    return Counter(map(reason, events))


@pytest.mark.parametrize("feed", FEEDS, ids=NAMES)
def test_every_event_of_a_plain_recipe_is_sound_and_another_one(feed: Feed) -> None:
    events = made(feed, Recipe(count=300, random_seed=1))
    assert reasons(feed, events) == {None: 300}
    assert len({event.event_id for event in events}) == 300
    assert sum(decode(Decoder(feed), event.body).unknown for event in events) == 0


@pytest.mark.parametrize("feed", FEEDS, ids=NAMES)
def test_one_random_seed_gives_one_sequence_of_values_and_new_event_ids(feed: Feed) -> None:
    recipe = Recipe(count=50, random_seed=3, duplicates=0.2, malformed=evenly(feed, 0.3))
    one, again = made(feed, recipe), made(feed, recipe)
    assert [event.body for event in one] == [event.body for event in again]
    assert {event.event_id for event in one}.isdisjoint(event.event_id for event in again)
    other = made(feed, replace(recipe, random_seed=4))
    assert [event.body for event in other] != [event.body for event in one]


def test_without_a_random_seed_every_sequence_is_another_one() -> None:
    one, other = (made(USER_LOGINS, Recipe(count=5)) for _ in range(2))
    assert [event.body for event in one] != [event.body for event in other]


def test_duplicates_repeat_an_earlier_event_id_and_all() -> None:
    events = made(USER_LOGINS, Recipe(count=2_000, random_seed=1, duplicates=0.25))
    different = set(events)
    assert 2_000 - len(different) == pytest.approx(500, rel=0.15)
    assert len({event.event_id for event in different}) == len(different)


def test_everything_but_the_first_may_be_a_duplicate() -> None:
    events = made(USER_LOGINS, Recipe(count=20, random_seed=1, duplicates=1.0))
    assert len(set(events)) == 1


@pytest.mark.parametrize("feed", FEEDS, ids=NAMES)
def test_malformed_events_come_in_the_shares_of_their_reasons(feed: Feed) -> None:
    wanted = {Reason.NOT_JSON: 0.1, Reason.MISSING: 0.2}
    events = made(feed, Recipe(count=2_000, random_seed=2, malformed=wanted))
    counts = reasons(feed, events)
    assert set(counts) == {None, Reason.NOT_JSON, Reason.MISSING}
    assert counts[Reason.NOT_JSON] == pytest.approx(200, rel=0.25)
    assert counts[Reason.MISSING] == pytest.approx(400, rel=0.25)


@pytest.mark.parametrize("feed", FEEDS, ids=NAMES)
def test_malformed_events_spread_evenly_are_of_every_kind(feed: Feed) -> None:
    events = made(feed, Recipe(count=600, random_seed=2, malformed=evenly(feed, 1.0)))
    counts = reasons(feed, events)
    assert set(counts) == set(spoilable(feed))
    assert None not in counts


def test_no_share_is_no_malformed_event() -> None:
    assert evenly(USER_LOGINS, 0.0) == {}


@pytest.mark.parametrize("distinct", [0.02, 0.5, 1.0])
def test_masked_fields_take_as_many_different_values_as_asked_for(distinct: float) -> None:
    events = made(USER_LOGINS, Recipe(count=500, random_seed=1, distinct=distinct))
    devices = {json.loads(event.body)["device_id"] for event in events}
    assert len(devices) == pytest.approx(500 * distinct, rel=0.02)


def test_events_look_like_real_ones() -> None:
    events = made(USER_LOGINS, Recipe(count=300, random_seed=1))
    records = [json.loads(event.body) for event in events]
    assert {record["device_type"] for record in records} == {"android", "ios"}
    assert 0.2 < sum(record["locale"] is None for record in records) / 300 < 0.4
    assert any(":" in record["ip"] for record in records)
    assert any("." in record["ip"] for record in records)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (-math.inf, math.inf),
        (2e6, math.inf),
        (-math.inf, -3e6),
        (2e6, 2e7),
        (5e9, 5e9),
        (-90.0, 60.0),
    ],
)
def test_numbers_stay_within_their_range(low: float, high: float) -> None:
    feed = Feed(
        name="numbers",
        description="A number.",
        queue="numbers",
        table="numbers",
        fields=(Field("n", Number(low, high), Keep()),),
    )
    assert reasons(feed, made(feed, Recipe(count=50, random_seed=1))) == {None: 50}


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (Recipe(count=0), "count is at least 1"),
        (Recipe(count=1, duplicates=1.1), "duplicates is a share between 0 and 1"),
        (Recipe(count=1, duplicates=-0.1), "duplicates is a share between 0 and 1"),
        (Recipe(count=1, duplicates=math.nan), "duplicates is a share between 0 and 1"),
        (Recipe(count=1, distinct=2), "distinct is a share between 0 and 1"),
        (Recipe(count=1, malformed={Reason.NOT_JSON: -1}), "not_json is a share between 0 and 1"),
        (
            Recipe(count=1, duplicates=0.5, malformed={Reason.NOT_JSON: 0.51}),
            "the shares of duplicates and malformed messages exceed the whole",
        ),
        (
            Recipe(count=1, malformed={Reason.BAD_DATE: 0.1}),
            "no message of this feed can be made to end as bad_date",
        ),
        (
            Recipe(count=1, malformed={Reason.CONFLICT: 0.1}),
            "no message of this feed can be made to end as conflict",
        ),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(recipe: Recipe, problem: str) -> None:
    with pytest.raises(SeedError, match=problem) as caught:
        next(generate(USER_LOGINS, recipe))
    assert caught.value.feed == "user_logins"


@pytest.mark.parametrize("feed", FEEDS, ids=NAMES)
def test_shares_that_make_the_whole_are_never_refused_for_a_rounding_error(feed: Feed) -> None:
    for percent in range(101):
        share = percent / 100
        Recipe(count=1, malformed=evenly(feed, share), duplicates=1 - share).check(feed)


def test_generating_leaves_the_random_numbers_of_others_alone() -> None:
    random.seed(1)
    expected = random.random()  # noqa: S311 - no key is made of it
    random.seed(1)
    made(USER_LOGINS, Recipe(count=5, random_seed=1))
    assert random.random() == expected  # noqa: S311 - no key is made of it
