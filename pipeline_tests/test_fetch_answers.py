"""What upstream answers is not to be trusted: what may pass is tried again, the rest is failed."""

import email.utils
import gzip
import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx
import pytest

from pipeline.errors import FetchError
from pipeline.produce.fetch.client import retry_after
from pipeline.produce.fetch.ledger import Counts
from pipeline.source import Bounds
from pipeline_tests.fetch_case import QUICK, STALE, path, paths
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import CANARY
from pipeline_tests.upstream import LIST, Reply, Request, Upstream, pokemon

BODY: Final = json.dumps(pokemon(1)).encode()
BOMB: Final = gzip.compress(b" " * 200_000_000)  # 190 KB
IMPATIENT: Final = replace(QUICK, bounds=replace(QUICK.bounds, read_seconds=0.5))

PASSING: Final = {
    # name: the answer, and the code past the attempts
    "too many requests": (Reply(status=429), "http_429"),
    "an error": (Reply(b'{"id": 1}', status=500), "http_500"),
    "a bad gateway": (Reply(status=502), "http_502"),
    "unavailable": (Reply(status=503), "http_503"),
    "half a document": (Reply(BODY[:-20]), "not_json"),
    "a page of HTML": (Reply(b"<html>Sorry</html>"), "not_json"),
    "no document at all": (Reply(b""), "not_json"),
    "bytes that are no text": (Reply(b'{"name": "\xff"}'), "not_json"),
    "a connection that breaks": (Reply(BODY, cut=20), "cut_short"),
    "a connection that breaks at once": (
        Reply(BODY, headers={"Content-Length": "x\r\n"}, cut=0),
        "cut_short",
    ),
    "one compressed document after the other": (
        Reply(gzip.compress(BODY) * 2, headers={"Content-Encoding": "gzip"}),
        "not_json",
    ),
    "half of what was compressed": (
        Reply(gzip.compress(BODY)[:-12], headers={"Content-Encoding": "gzip"}),
        "cut_short",
    ),
    "what was never compressed": (Reply(BODY, headers={"Content-Encoding": "gzip"}), "cut_short"),
    "silence": (Reply(BODY, cut=20, hangs=True), "timeout"),
}
FINAL: Final = {
    "forbidden": (Reply(status=403), "http_403"),
    "not found": (Reply(status=404), "http_404"),
    "unchanged, and nothing was known": (Reply(status=304), "http_304"),
    "a list": (Reply(b"[1, 2]"), "not_an_object"),
    "another compression": (Reply(BODY, headers={"Content-Encoding": "br"}), "encoding"),
    "more compressed files than an answer needs": (
        Reply(gzip.compress(b"") * 70 + gzip.compress(BODY), headers={"Content-Encoding": "gzip"}),
        "encoding",
    ),
    "more than a record may have": (Reply(b" " * 5_000_000), "too_large"),
    "a gzip bomb": (Reply(BOMB, headers={"Content-Encoding": "gzip"}), "too_large"),
    "too deep a document": (Reply(b'{"a": ' + b"[" * 80 + b"]" * 80 + b"}"), "too_deep"),
    "a bottomless document": (Reply(b"[" * 500_000), "too_deep"),
    "another schema": (Reply(b'{"Id": 1, "Name": "x"}'), "transform"),
    "a type that changed": (Reply(json.dumps(pokemon(1, weight="6.9 kg")).encode()), "transform"),
    "a value out of range": (
        Reply(json.dumps(pokemon(1, weight=-1)).encode()),
        "out_of_range:weight",
    ),
    "a null": (Reply(json.dumps(pokemon(1, name=None)).encode()), "null:name"),
    "a character that no text may have": (
        Reply(json.dumps(pokemon(1, name="\0")).encode()),
        "nul_character:name",
    ),
    "a redirect to another host": (
        Reply(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}),
        "redirected",
    ),
    "a redirect to another port": (
        Reply(status=307, headers={"Location": "//127.0.0.1:1/"}),
        "redirected",
    ),
    "a redirect to nowhere": (Reply(status=301), "redirected"),
    "a redirect in a circle": (Reply(status=308, headers={"Location": "."}), "redirected"),
    "a redirect to a file": (
        Reply(status=302, headers={"Location": "file:///etc/passwd"}),
        "redirected",
    ),
    "a redirect to a name that is none": (
        Reply(status=302, headers={"Location": "http://xn--/"}),
        "redirected",
    ),
    "a redirect to an address that is none": (
        Reply(status=302, headers={"Location": "http:////[]"}),
        "redirected",
    ),
}


class TestPassing:
    """Fault 81: bounded attempts."""

    def test_it_is_tried_again_until_it_is_well(self, case_of: MakeCase) -> None:
        numbers = range(1, len(PASSING) + 1)
        case = case_of(Upstream(numbers))
        for number, (reply, _) in zip(numbers, PASSING.values(), strict=True):
            case.api.first(2, reply, path(number))
        done = case.fetch(IMPATIENT)
        assert (done.requested, done.sent, done.failed) == (3 * len(PASSING), len(PASSING), 0)
        assert set(case.ledger("attempts, reason")) == {(3, None)}
        assert case.sent() == paths(numbers)

    def test_past_the_attempts_it_is_failed_with_its_code(self, case_of: MakeCase) -> None:
        numbers = range(1, len(PASSING) + 1)
        case = case_of(Upstream([*numbers, 99]))
        for number, (reply, _) in zip(numbers, PASSING.values(), strict=True):
            case.api.at(path(number), reply)
        assert case.fetch(IMPATIENT).requested == 3 * len(PASSING) + 1
        codes = (code for _, code in PASSING.values())
        assert case.reasons() == dict(zip(map(path, numbers), codes, strict=True))
        assert case.sent() == paths([99])

    def test_a_slow_answer_has_its_time_as_a_whole(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1, 2]))
        case.api.at(path(1), Reply(BODY, cut=20, hangs=True))
        brief = replace(QUICK, attempts=1, bounds=Bounds(request_seconds=0.5))
        began = time.monotonic()
        assert case.fetch(brief).failed == 1
        assert time.monotonic() - began < brief.bounds.read_seconds
        assert case.reasons() == {path(1): "timeout"}


class TestFinal:
    """What another attempt would not mend."""

    def test_it_is_failed_after_one_request_and_the_others_are_sent(
        self, case_of: MakeCase
    ) -> None:
        numbers = range(1, len(FINAL) + 1)
        case = case_of(Upstream([*numbers, 99]))
        for number, (reply, _) in zip(numbers, FINAL.values(), strict=True):
            case.api.at(path(number), reply)
        done = case.fetch()
        assert (done.sent, done.failed) == (1, len(FINAL))
        assert done.requested == len(FINAL) + 1
        codes = (code for _, code in FINAL.values())
        assert case.reasons() == dict(zip(map(path, numbers), codes, strict=True))
        assert case.sent() == paths([99])

    def test_nothing_of_what_was_sent_is_in_the_ledger_or_in_a_log(
        self, case_of: MakeCase, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
    ) -> None:
        caplog.set_level(logging.DEBUG)
        case = case_of(Upstream([1, 2, 3]))
        case.api.at(path(1), Reply(CANARY.encode()))
        case.api.at(path(2), Reply(json.dumps(pokemon(2, weight=CANARY)).encode()))
        case.api.at(path(3), Reply(CANARY.encode(), status=418))
        assert case.fetch().failed == 3
        assert CANARY not in str(ask(case.url, "SELECT f::text FROM pipeline.fetch f"))
        told = caplog.text + "".join(capfd.readouterr())
        assert CANARY not in told
        assert path(1) not in told


class TestSound:
    """What is to be taken although it is unusual."""

    def test_records_of_a_megabyte_are_cut_down_to_what_the_contract_names(
        self, case_of: MakeCase
    ) -> None:
        case = case_of(Upstream())
        for number in range(1, 13):
            moves = [{"move": {"name": "x" * 100}}] * 10_000
            case.api.records[number] = pokemon(number, moves=moves)
        assert case.fetch().sent == 12
        assert all(len(body) < 200 for _, body in case.events())

    def test_a_compressed_record_in_one_file_or_several(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1, 2, 3]))
        several = gzip.compress(BODY[:10]) + gzip.compress(BODY[10:])
        for number, body, name in ((1, gzip.compress(BODY), "gzip"), (2, several, "x-gzip")):
            case.api.at(path(number), Reply(body, headers={"Content-Encoding": name}))
        assert case.fetch().sent == 3

    @pytest.mark.parametrize("tag", ['"\xe9"', '"\u20ac"', '"a\x01b"', '"\x7f"', '"' + "x" * 600])
    def test_a_tag_that_cannot_be_sent_back_is_none(self, tag: str, case_of: MakeCase) -> None:
        """The first that was remembered would have kept each later run from the whole list."""
        case = case_of(Upstream([1, 2]))
        case.api.tags = False
        for each in (path(1), f"{LIST}?limit=10&offset=0"):
            body = case.api.answer(Request(each, {})).body
            case.api.at(each, Reply(body, headers={"ETag": tag}))
        assert case.fetch().sent == 2
        assert case.fetch(STALE).unchanged == 2
        assert not any("if-none-match" in each.headers for each in case.api.requests)

    def test_a_redirect_on_the_same_host(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1]))
        case.api.at(path(1), Reply(status=301, headers={"Location": f"{LIST}01/"}))
        assert case.fetch().sent == 1
        assert case.sent() == paths([1])

    def test_no_cookie_is_taken(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1, 2]))
        case.api.first(1, Reply(status=503, headers={"Set-Cookie": "a=b"}), path(1))
        case.fetch()
        assert not any("cookie" in each.headers for each in case.api.requests)


class TestOutage:
    """An API that is not well is not the records' fault."""

    def test_the_run_ends_and_no_record_is_failed(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        case.api.hooks.append(_after(12, Reply(status=503)))
        with pytest.raises(FetchError, match="a page of the list cannot be had"):
            case.fetch()
        counts = case.counts()
        assert counts.failed == 0
        assert counts.sent + counts.planned + counts.fetched == 30
        case.api.hooks.clear()
        case.fetch()
        assert case.counts() == Counts(sent=30)
        assert case.sent() == paths(range(1, 31))

    def test_where_the_list_is_well_the_records_are_failed(self, case_of: MakeCase) -> None:
        case = case_of(Upstream(range(1, 31)))
        for number in range(1, 16):
            case.api.at(path(number), Reply(status=500))
        done = case.fetch()
        assert (done.sent, done.failed) == (15, 15)


class TestPauses:
    """`Retry-After`, as RFC 9110 has it."""

    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [("7", 7), (" 120 ", 120), ("", 0), ("-5", 0), ("soon", 0), ("1.5", 0), ("9" * 40, 0)],
    )
    def test_in_seconds(self, asked: str, seconds: float) -> None:
        assert retry_after(httpx.Headers({"retry-after": asked})) == seconds

    def test_as_a_date_it_counts_from_upstreams_own_clock(self) -> None:
        theirs = datetime(2020, 1, 1, tzinfo=UTC)
        headers = {
            "date": email.utils.format_datetime(theirs, usegmt=True),
            "retry-after": email.utils.format_datetime(theirs + timedelta(seconds=90), usegmt=True),
        }
        assert retry_after(httpx.Headers(headers)) == 90
        assert retry_after(httpx.Headers({"retry-after": headers["retry-after"]})) == 0

    def test_it_keeps_everybody_back_and_no_longer_than_the_bound(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1]))
        brief = replace(QUICK, bounds=replace(QUICK.bounds, longest_pause_seconds=0.3))
        case.api.first(1, Reply(status=429, headers={"Retry-After": "3600"}), path(1))
        times = _times(case.api)
        case.fetch(brief)
        refused, again = times[path(1)]
        assert 0.3 <= again - refused < 3


def _after(requests: int, reply: Reply) -> Callable[[Request], Reply | None]:
    """The answer to each request that comes after so many."""
    seen = [0]

    def hook(_request: Request) -> Reply | None:
        seen[0] += 1
        return reply if seen[0] > requests else None

    return hook


def _times(api: Upstream) -> dict[str, list[float]]:
    """When each path is asked for, filled as it is."""
    found: dict[str, list[float]] = {}

    def note(request: Request) -> None:
        found.setdefault(request.path, []).append(time.monotonic())

    api.hooks.insert(0, note)
    return found
