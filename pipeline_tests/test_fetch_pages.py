"""The list: followed on its own host only, in no circle, and without losing what moves in it."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import pytest

from pipeline.errors import FetchError
from pipeline.produce.fetch.ledger import Counts
from pipeline.produce.fetch.planning import PageRange, count, ranges
from pipeline_tests.fetch_case import QUICK, Case, path, paths
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.samples import CANARY
from pipeline_tests.upstream import LIST, Reply, Request, Upstream, pokemon

SECOND: Final = f"{LIST}?limit=10&offset=10"
FOREIGN: Final = (
    "http://169.254.169.254/latest/meta-data/",
    "//evil.example/api/v2/pokemon/?offset=20",
    "https://127.0.0.1:{port}/api/v2/pokemon/",
    "http://127.0.0.1:1/api/v2/pokemon/",
    "http://somebody@127.0.0.1:{port}/api/v2/pokemon/",
    "http://127.0.0.1:{port}@evil.example/",
    "http://127.0.0.1.evil.example:{port}/",
    "file:///etc/passwd",
    "http://[::1",
    "http://xn--/",
    "http:////[]",
    "?" + "x" * 600,
)


def page(**changes: object) -> Reply:
    """A page with ten entries and no next, or with other members."""
    entries = [{"name": "x", "url": path(number)} for number in range(1, 11)]
    document = {"count": 30, "next": None, "previous": None, "results": entries}
    return Reply(json.dumps(document | changes).encode())


class TestNext:
    """Fault 80."""

    @pytest.mark.parametrize("back_to", [SECOND, f"{LIST}?limit=10&offset=0", "?limit=10&offset=0"])
    def test_a_circle_is_refused(self, back_to: str, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        case.api.at(SECOND, page(next=back_to))
        with pytest.raises(FetchError, match="is one that was seen already"):
            case.fetch()
        assert len(case.api.requests) == 2

    def test_what_leads_off_the_host_is_refused(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        port = case.reach.base.port
        for address in (*FOREIGN, 7, ["/"]):
            case.api.hooks.clear()
            given = address.format(port=port) if isinstance(address, str) else address
            for wrong in (page(next=given), page(results=[{"url": path(1)}, {"url": given}])):
                case.api.at(SECOND, wrong)
                with pytest.raises(FetchError, match="not on the API's host") as caught:
                    case.fetch()
                assert str(given) not in str(caught.value)
                case.api.hooks.clear()

    def test_absolute_addresses_on_the_host_are_followed(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        case.api.prefix = str(case.reach.base.copy_with(path="")).rstrip("/")
        assert case.fetch().sent == 30
        assert case.sent() == paths(range(1, 31))

    def test_a_list_without_end_is_refused_behind_the_range(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        numbers = itertools.count(1)

        def endless(request: Request) -> Reply | None:
            return page(next=f"?page={next(numbers)}") if request.is_page else None

        case.api.hooks.append(endless)
        with pytest.raises(FetchError, match="more entries than it counts"):
            case.fetch()
        assert len(case.api.pages()) == 4 + 1  # the pages of the range, and one

    def test_a_next_on_every_page_until_one_is_empty_is_followed(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 41)))
        case.api.hooks.append(instead(case, lambda at: {"next": f"?limit=10&offset={at + 10}"}))
        assert case.fetch().sent == 40
        assert set(case.api.pages()) == {f"{LIST}?limit=10&offset={at}" for at in range(0, 50, 10)}

    def test_an_empty_page_that_has_a_next_is_refused(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        case.api.at(SECOND, page(results=[], next="?limit=10&offset=20"))
        with pytest.raises(FetchError, match="is empty, and not behind its end"):
            case.fetch()


class TestContract:
    """What the list says must hold together; and none of it is told."""

    WRONG: Final = (
        {"count": None},
        {"count": -1},
        {"count": True},
        {"count": "30"},
        {"count": 10**9},
        {"count": 0},
        {"count": 9},
        {"results": None},
        {"results": {"url": CANARY}},
        {"results": [{"url": path(number)} for number in range(11)]},
        {"results": [{"name": CANARY}]},
        {"results": [CANARY]},
        {"results": [None]},
    )

    def test_what_breaks_it_ends_the_run(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        for wrong in self.WRONG:
            case.api.hooks.clear()
            case.api.at(SECOND, page(**wrong))
            with pytest.raises(FetchError) as caught:
                case.fetch()
            assert CANARY not in str(caught.value)
        case.api.hooks.clear()
        assert case.fetch().sent == 30

    def test_a_list_that_cannot_be_had_ends_the_run(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        case.api.at(SECOND, Reply(b"<html>"))
        with pytest.raises(FetchError, match=r"a page of the list cannot be had \(not_json\)"):
            case.fetch()
        assert len(case.api.requests) == 1 + QUICK.attempts
        assert case.counts() == Counts(planned=10)

    def test_a_list_that_shows_less_than_it_counts_is_refused(self, case_of: MakeCase) -> None:
        """Fault 82: not silently nothing."""
        case = case_of(Upstream(range(1, 31)))
        case.api.hooks.append(lambda request: page(results=[]) if request.is_page else None)
        with pytest.raises(FetchError, match="is empty, and not behind its end"):
            case.fetch()

    @pytest.mark.parametrize("counted", [0, 10, 40])
    def test_a_list_that_counts_less_than_it_shows_is_refused(
        self, counted: int, case_of: MakeCase
    ) -> None:
        """Else what it does not count would be missing, and nobody would know."""
        case = case_of(Upstream(range(1, 61)))
        case.api.hooks.append(instead(case, lambda _at: {"count": counted}))
        with pytest.raises(FetchError, match="more entries than it counts"):
            case.fetch_all()

    def test_a_list_that_is_empty_all_of_a_sudden_is_refused(self, case_of: MakeCase) -> None:
        """Fault 82."""
        case = case_of(Upstream(range(1, 31)))
        assert count(case.reach, QUICK) == 30
        case.fetch()
        case.api.records.clear()
        with pytest.raises(FetchError, match="says that it is empty"):
            count(case.reach, QUICK)

    def test_a_list_that_was_always_empty_is_none(self, case_of: MakeCase) -> None:
        case = case_of(Upstream())
        assert count(case.reach, QUICK) == 0
        assert case.fetch().planned == 0


class TestMoving:
    """Fault 79: entries that come and go while somebody pages."""

    def test_a_list_that_shrinks_to_the_end_of_a_page_is_at_its_end(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(range(1, 32)))
        on_first(case, f"{LIST}?limit=10&offset=30", lambda: case.api.records.pop(31))
        case.fetch()
        assert case.sent() == paths(range(1, 31))

    @pytest.mark.parametrize("tags", ["with tags", "without"])
    def test_a_deletion_between_two_pages_hides_no_record(
        self, tags: str, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(range(1, 36)))
        case.api.tags = tags == "with tags"
        on_first(case, SECOND, lambda: case.api.records.pop(1))
        case.fetch()
        assert case.sent() == paths(range(2, 36))  # 11 stood on the first page by then

    def test_an_insertion_between_two_pages_has_no_record_asked_for_twice(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(range(1, 36)))

        def insert() -> None:
            case.api.records = {99: pokemon(99), **case.api.records}

        on_first(case, SECOND, insert)
        case.fetch()
        assert case.sent() == paths([99, *range(1, 36)])
        assert max(Counter(case.api.asked()).values()) == 1

    def test_deletions_between_two_ranges_hide_no_record(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 80)))
        case.fetch()
        for number in range(1, 1 + QUICK.overlap):
            del case.api.records[number]
        case.fetch(QUICK, PageRange(40, 80))
        assert case.sent() == paths(range(1, 80))

    def test_a_list_that_grew_is_in_the_last_range_until_that_is_full(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream(range(1, 36)))
        planned = ranges(count(case.reach, QUICK), QUICK.range_size)
        case.api.records |= {number: pokemon(number) for number in range(36, 41)}
        assert planned == [PageRange(0, 40)]
        assert case.fetch().sent == 40

    @pytest.mark.parametrize("seed", range(4))
    def test_whatever_moves_nothing_is_lost_and_nothing_asked_for_twice(
        self, seed: int, case_of: MakeCase
    ) -> None:
        """Every page request of the first round is followed by a change, of any kind and place."""
        rng = random.Random(seed)  # noqa: S311 - the same changes in every run
        case = case_of(Upstream(range(1, 100)))
        numbers = itertools.count(1_000)

        def change(request: Request) -> None:
            if not request.is_page:
                return
            known = list(case.api.records.items())
            place = rng.randrange(len(known))
            if rng.random() < 0.5:
                del known[place]
            else:
                number = next(numbers)
                known.insert(place, (number, pokemon(number)))
            case.api.records = dict(known)

        case.api.hooks.append(change)
        case.fetch_all()
        case.api.hooks.clear()
        case.fetch_all()  # the full list against the ledger
        case.retry()
        there = paths(list(case.api.records))
        assert there <= case.sent()
        assert set(case.sent().values()) == {1}
        twice = {each for each, times in Counter(case.api.asked()).items() if times > 1}
        assert twice.isdisjoint(case.sent())  # but what was deleted before it was asked for


def instead(
    case: Case, changes: Callable[[int], dict[str, object]]
) -> Callable[[Request], Reply | None]:
    """Changes members of each page, according to its offset."""

    def hook(request: Request) -> Reply | None:
        if not request.is_page:
            return None
        changed = changes(int(request.path.rpartition("=")[2]))
        return Reply(json.dumps(case.api.page(request) | changed).encode())

    return hook


def on_first(case: Case, path: str, action: Callable[[], object]) -> None:
    """Does something right before the first answer to a path."""
    left = [action]

    def hook(request: Request) -> None:
        if request.path == path and left:
            left.pop()()

    case.api.hooks.append(hook)
