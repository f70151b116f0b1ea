"""The ledger: what may be in it, who may write it, and the pace that is kept beside it."""

import asyncio
import itertools
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Final

import pytest

from pipeline.errors import FetchError
from pipeline.produce.fetch import ledger
from pipeline.produce.fetch.ledger import Counts, Ledger
from pipeline.produce.fetch.report import read_standing
from pipeline.source import Source
from pipeline_tests.access_case import member_of
from pipeline_tests.fetch_case import QUICK, STALE, Case, path, paths
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.load_case import prepared
from pipeline_tests.outside_world import ask
from pipeline_tests.upstream import Reply, Upstream, pokemon

BRISK: Final = replace(QUICK, requests_per_second=50)


def test_a_member_of_loader_needs_no_other_right(case_of: MakeCase) -> None:
    case = case_of(Upstream(range(1, 13)))
    prepared(case.url)
    with member_of(case.url, "loader") as url:
        outside = replace(case.reach.outside, postgres_url=url)
        as_loader = Case(case.api, replace(case.reach, outside=outside), case.sqs)
        case.api.at(path(3), Reply(status=404))
        assert as_loader.fetch().sent == 11
        case.api.hooks.clear()
        assert as_loader.retry().sent == 1
        assert as_loader.fetch(STALE).unchanged == 12


class TestState:
    """Fault 82: what cannot be is refused, not passed over."""

    def test_a_ledger_of_another_address_is_refused(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1]))
        case.fetch()
        case.api.forget()
        moved = replace(case.reach, base=case.reach.base.join("/api/v3/"))
        with pytest.raises(FetchError, match="was filled from another address"):
            Case(case.api, moved, case.sqs).fetch()
        assert case.api.requests == []

    def test_a_wrong_address_that_gave_nothing_ties_nothing(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1]))
        mistyped = replace(case.reach, base=case.reach.base.join("/api/v9/"))
        read_standing(mistyped, QUICK)
        with pytest.raises(FetchError):
            Case(case.api, mistyped, case.sqs).fetch()
        assert case.fetch().sent == 1

    @pytest.mark.parametrize(
        "column", ["planned_at", "fetched_at", "sent_at", "checked_at", "failed_at"]
    )
    def test_times_that_are_yet_to_come_are_refused(self, column: str, case_of: MakeCase) -> None:
        """They would keep records fresh for years."""
        case = case_of(Upstream([1, 2]))
        case.fetch()
        case.api.forget()
        ask(case.url, f"UPDATE pipeline.fetch SET {column} = 'infinity' WHERE item = '{path(2)}'")
        with pytest.raises(FetchError, match="holds times that are yet to come"):
            case.fetch()
        assert case.api.requests == []

    def test_a_pace_that_is_years_away_is_refused(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1]))
        case.fetch()
        ask(case.url, "UPDATE pipeline.fetch_source SET next_at = now() + interval '9 years'")
        with pytest.raises(FetchError, match="hours only"):
            case.fetch()

    def test_a_tag_that_cannot_be_sent_back_is_not_asked_with(self, case_of: MakeCase) -> None:
        """An earlier version kept whatever upstream gave."""
        case = case_of(Upstream([1, 2]))
        case.fetch()
        for table in ("fetch", "fetch_page"):
            ask(case.url, f"UPDATE pipeline.{table} SET etag = '\"é\"'")
        assert case.fetch(STALE).unchanged == 2
        assert "é" not in str(case.ledger("etag"))

    def test_a_ledger_that_was_lost_has_everything_sent_again_as_the_same_events(
        self, case_of: MakeCase
    ) -> None:
        """The consumer's ledger knows them all."""
        case = case_of(Upstream(range(1, 13)))
        case.fetch()
        before = {event_id for event_id, _ in case.events()}
        ask(case.url, "TRUNCATE pipeline.fetch, pipeline.fetch_page, pipeline.fetch_source")
        case.fetch()
        assert {event_id for event_id, _ in case.events()} == before
        assert len(case.events()) == 24


class TestCrash:
    """What a crash leaves must lead to the record, not past it."""

    def test_a_tag_of_what_was_never_sent_is_not_remembered(self, case_of: MakeCase) -> None:
        """Upstream would answer to it that nothing has changed, for ever."""
        case = case_of(Upstream([1]))
        case.fetch()
        case.api.records[1] = pokemon(1, weight=70)
        self.die_with(case, path(1))
        assert case.fetch().sent == 1
        assert len({event_id for event_id, _ in case.events()}) == 2

    def test_a_version_that_may_be_on_the_queue_is_not_the_last_word(
        self, case_of: MakeCase
    ) -> None:
        """It died with a change on the queue, and then upstream took the change back."""
        case = case_of(Upstream([1]))
        case.fetch()
        self.die_with(case, path(1))
        assert case.fetch().sent == 1
        first, last = case.events()
        assert first[0] != last[0]
        assert first[1] == last[1]

    def test_what_was_taken_and_not_noted_is_sent_again_as_the_same_event(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream([1]))
        case.fetch()
        self.die_with(case, path(1))
        ask(case.url, "UPDATE pipeline.fetch SET versions = 0")
        assert case.fetch().sent == 1
        first, last = case.events()
        assert first == last

    def die_with(self, case: Case, record: str) -> None:
        """Leaves the ledger as a process does that is killed between queue and ledger."""
        with ledger.opened(case.reach, QUICK) as known:
            known.mark_fetched(record, 1)


class TestRanges:
    """Whose business a record is."""

    def test_a_record_is_the_business_of_the_range_that_listed_it_last(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream())
        with known_by(case) as known:
            assert known.plan("one", [path(1), path(2)]) == 2
            assert known.plan("two", [path(2), path(3)]) == 1
            assert due(known, "one") == [path(1)]
            assert due(known, "two") == [path(2), path(3)]

    def test_but_not_while_another_is_at_work_on_it(self, case_of: MakeCase) -> None:
        case = case_of(Upstream())
        with known_by(case) as one, known_by(case) as two:
            one.lock("one")
            one.plan("one", [path(1)])
            two.plan("two", [path(1)])
            assert due(two, "two") == []
            assert two.plan_failed("retry") == 0
        with known_by(case) as two:
            two.plan("two", [path(1)])
            assert due(two, "two") == [path(1)]

    def test_sources_of_one_ledger_do_not_mix(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 13)))
        case.fetch()
        other = replace(QUICK, name="other")
        with ledger.opened(case.reach, other) as known:
            assert known.counts() == Counts()
        assert case.fetch(other).sent == 12
        assert case.sent() == paths(range(1, 13)) + paths(range(1, 13))


class TestPace:
    """Politeness is one for all."""

    def test_requests_of_two_runs_together_keep_it(self, case_of: MakeCase) -> None:
        case = case_of(Upstream())
        with known_by(case, BRISK) as one, known_by(case, BRISK) as two:
            moments = asyncio.run(turns(one, two))
        took = max(moments) - min(moments)
        assert took >= 0.02 * (len(moments) - 1) * 0.8  # timers may be a little early

    def test_a_pause_that_upstream_asked_one_for_holds_for_the_other(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream())
        with known_by(case) as one, known_by(case) as two:

            async def ask_for_a_pause() -> float:
                await one.pace().close(0.3)
                before = time.monotonic()
                await two.pace().turn()
                return time.monotonic() - before

            assert asyncio.run(ask_for_a_pause()) >= 0.25

    def test_a_shorter_pause_ends_no_longer_one(self, case_of: MakeCase) -> None:
        """Two runs are asked for one at the same time, and not for the same."""
        case = case_of(Upstream())
        with known_by(case) as one, known_by(case) as two:

            async def ask_for_two_pauses() -> float:
                before = time.monotonic()
                await one.pace().close(0.5)
                await two.pace().close(0.01)
                await two.pace().turn()
                return time.monotonic() - before

            assert asyncio.run(ask_for_two_pauses()) >= 0.45


def known_by(case: Case, source: Source = QUICK) -> AbstractContextManager[Ledger]:
    return ledger.opened(case.reach, source)


def due(known: Ledger, key: str) -> list[str]:
    """The records of a range that are due, read two at a time."""
    found: list[str] = []
    while batch := known.due(key, after=found[-1] if found else "", limit=2):
        found += [each.path for each in batch]
    return found


async def turns(*ledgers: Ledger) -> list[float]:
    """When each of twenty requests has its turn."""

    async def take(known: Ledger) -> float:
        await known.pace().turn()
        return time.monotonic()

    takers = itertools.islice(itertools.cycle(ledgers), 20)
    return list(await asyncio.gather(*map(take, takers)))
