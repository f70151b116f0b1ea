"""Fault 76: what no client should send is refused as it should be, without an echo or a trace."""

import gzip
import json
from collections.abc import Iterator

import pytest

from pipeline.produce.rest.limits import Limits
from pipeline_tests.raw_http import CHUNKED, Reply, exchange, head, post
from pipeline_tests.rest_process import RestProcess, rest_process
from pipeline_tests.samples import CANARY, login

MIB = 1 << 20
SOUND = json.dumps(login()).encode()
SECRET = CANARY.encode()
INNER = head(method=b"GET", path=b"/v1/feeds")
"""What must never be taken for a request of its own."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestProcess]:
    """One service for all of these tests."""
    with rest_process(tmp_path_factory.mktemp("rest"), Limits(drain_seconds=1.0)) as service:
        yield service
    told = service.output.read_text()
    assert CANARY not in told
    assert "Traceback" not in told


@pytest.fixture
def service(running: RestProcess) -> Iterator[RestProcess]:
    """The service, which takes an ordinary message after each test, and nothing else meanwhile."""
    before = running.depth()
    yield running
    assert running.depth() == before
    (reply,) = exchange(running.port, post(SOUND))
    assert reply.status == 202


def refused(replies: list[Reply], status: int) -> Reply:
    """The one answer, which is a problem of that status and repeats nothing."""
    (reply,) = replies
    assert reply.status == status, reply
    assert CANARY not in str(reply)
    assert "Traceback" not in str(reply)
    assert reply.problem
    return reply


FRAMING = {
    "a negative length": head(b"Content-Length: -5") + SOUND,
    "a length with a sign": head(b"Content-Length: +%d" % len(SOUND)) + SOUND,
    "a length in hexadecimal": head(b"Content-Length: 0x10") + SOUND,
    "a length that is a word": head(b"Content-Length: " + SECRET) + SOUND,
    "an empty length": head(b"Content-Length:") + SOUND,
    "a length past 64 bits": head(b"Content-Length: 18446744073709551617") + SOUND,
    "two lengths": head(b"Content-Length: 4", b"Content-Length: %d" % len(SOUND)) + SOUND,
    "a list of lengths": head(b"Content-Length: 4, 4") + b"1234" + INNER,
    "a length and chunks": head(b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n" + INNER,
    "chunks and a length": head(CHUNKED, b"Content-Length: 5") + b"0\r\n\r\n" + INNER,
    "chunks twice": head(CHUNKED, CHUNKED) + b"0\r\n\r\n" + INNER,
    "another coding": head(b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n" + INNER,
    "a coding misspelt": head(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + INNER,
    "a coding in quotes": head(b'Transfer-Encoding: "chunked"') + b"0\r\n\r\n" + INNER,
    "no number before a chunk": head(CHUNKED) + SECRET + b"\r\n" + SOUND,
    "a chunk longer than it says": head(CHUNKED) + b"2\r\n" + SECRET + b"\r\n0\r\n\r\n",
    "a chunk past 64 bits": head(CHUNKED) + b"10000000000000001\r\n" + SOUND,
    "a header on two lines": head(b"X: a", b" " + SECRET) + SOUND,
    "a bare return": head(b"X: a\rY: " + SECRET) + SOUND,
    "a zero byte in a value": head(b"X: a\0" + SECRET) + SOUND,
    "a zero byte in a name": head(b"X\0: " + SECRET) + SOUND,
    "a space before the colon": head(b"Content-Length : 4") + b"1234" + INNER,
    "a header without a colon": head(SECRET) + SOUND,
    "a header without a name": head(b": " + SECRET) + SOUND,
    "no host": b"GET /v1/feeds HTTP/1.1\r\n\r\n",
    "two hosts": head(b"Host: " + SECRET) + SOUND,
    "another version": b"GET / HTTP/9.9\r\n\r\n",
    "no version": b"GET /v1/feeds\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("160301020001"),
    "noise": bytes(range(256)),
    "a method with a space": b"PO ST /v1/feeds HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an address with a zero byte": head(path=b"/v1/feeds/\0" + SECRET),
}


@pytest.mark.parametrize("raw", FRAMING.values(), ids=FRAMING)
def test_what_is_not_sound_http_is_refused_and_ends_the_connection(
    service: RestProcess, raw: bytes
) -> None:
    reply = refused(exchange(service.port, raw), 400)
    assert reply.problem["type"] == "/problems/bad-request"
    assert reply.headers["connection"] == "close"


HEADS = {
    "10,000 headers": (431, head(*(b"X-%d: a" % each for each in range(10_000)))),
    "10,000 times the same header": (431, head(*[b"A: b"] * 10_000)),
    "a huge header": (431, head(b"X: " + SECRET * 10_000)),
    "a huge name": (431, head(SECRET * 10_000 + b": a")),
    "a name without an end": (431, b"POST / HTTP/1.1\r\n" + b"x" * 200_000),
    "a long address": (414, head(path=b"/v1/feeds?" + SECRET * 1_000)),
    "an address without an end": (414, b"GET /" + b"x" * 200_000),
    "trailers without an end": (431, head(CHUNKED) + b"0\r\n" + b"X: a\r\n" * 10_000),
}


@pytest.mark.parametrize(("status", "raw"), HEADS.values(), ids=HEADS)
def test_heads_that_are_too_large_are_refused(
    service: RestProcess, status: int, raw: bytes
) -> None:
    refused(exchange(service.port, raw), status)


def with_text(text: bytes) -> bytes:
    """A login in whose device type some bytes stand, unescaped."""
    return SOUND.replace(b"android", SECRET + text)


BODIES = {
    "empty": (400, b""),
    "half of it": (400, SOUND[:40]),
    "two of it": (400, SOUND + SOUND),
    "no JSON": (400, SECRET),
    "HTML": (400, b"<html>" + SECRET),
    "a byte order mark": (400, b"\xef\xbb\xbf" + SOUND),
    "UTF-16": (400, SOUND.decode().encode("utf-16")),
    "bytes that are no UTF-8": (400, with_text(b"\xff\xfe")),
    "UTF-8 longer than it need be": (400, with_text(b"\xc0\xaf")),
    "a surrogate in UTF-8": (400, with_text(b"\xed\xa0\x80")),
    "half a pair of surrogates": (400, with_text(rb"\ud800")),
    "a raw zero byte": (400, with_text(b"\0")),
    "NaN": (400, SOUND.replace(b'"2.3.0"', b"NaN")),
    "Infinity": (400, SOUND.replace(b'"2.3.0"', b"-Infinity")),
    "100,000 levels of arrays": (400, b"[" * 100_000),
    "100,000 levels of objects": (400, b'{"a":' * 100_000),
    "500 levels within": (400, SOUND.replace(b'"android"', b"[" * 500 + b"]" * 500)),
    "a number": (422, b"7"),
    "a string": (422, b'"' + SECRET + b'"'),
    "null": (422, b"null"),
    "a number of 5,000 digits": (422, SOUND.replace(b'"2.3.0"', b"9" * 5_000)),
    "a number past all numbers": (422, SOUND.replace(b'"2.3.0"', b"1e400")),
    "an escaped zero byte": (422, with_text(rb"\u0000")),
    "a name twice": (422, SOUND.replace(b"{", b'{"locale":"' + SECRET + b'",', 1)),
    "a field that nobody named": (422, SOUND.replace(b"{", b'{"' + SECRET + b'":1,', 1)),
    "30,000 fields": (422, json.dumps({f"{CANARY}{n}": n for n in range(30_000)}).encode()),
    "an empty batch": (422, b"[]"),
    "a batch of 1,001": (422, b"[" + b",".join([SOUND] * 1_001) + b"]"),
    "a batch of a million": (422, b"[" + b"1," * 1_000_000 + b"1]"),
    "a batch in a batch": (422, b"[[" + SOUND + b"]]"),
    "half a batch": (400, b"[" + SOUND + b"," + SOUND[:40]),
}


@pytest.mark.parametrize(("status", "body"), BODIES.values(), ids=BODIES)
def test_bodies_that_cannot_be_taken_are_refused(
    service: RestProcess, status: int, body: bytes
) -> None:
    refused(exchange(service.port, post(body)), status)


def packed() -> bytes:
    """Ten million bytes of JSON, in ten thousand."""
    return gzip.compress(b'{"a":"' + b"x" * 10_000_000 + b'"}')


MEDIA = {
    "a gzip bomb": post(packed(), b"Content-Encoding: gzip"),
    "another encoding": post(SOUND, b"Content-Encoding: br"),
    "two encodings": post(SOUND, b"Content-Encoding: identity", b"Content-Encoding: gzip"),
    "no type": post(SOUND).replace(b"Content-Type: application/json\r\n", b""),
    "another type": post(SOUND).replace(b"application/json", b"text/plain"),
    "two types": post(SOUND, b"Content-Type: text/plain"),
    "a form": post(b"a=b").replace(b"json", b"x-www-form-urlencoded"),
    "a form in parts": post(b"--a").replace(
        b"application/json", b"multipart/form-data; boundary=a"
    ),
    "another character set": post(SOUND).replace(b"json", b"json; charset=utf-16"),
    "a character set of mine": post(SOUND).replace(b"json", b"json; charset=" + SECRET),
}


@pytest.mark.parametrize("raw", MEDIA.values(), ids=MEDIA)
def test_only_plain_json_is_taken(service: RestProcess, raw: bytes) -> None:
    refused(exchange(service.port, raw), 415)


SIZES = {
    "a length above the bound": [head(b"Content-Length: 99999999999"), b"{"],
    "a record above its bound": [post(b'"' + b"x" * MIB + b'"')],
    "a batch above its bound": [post(b"[" + b" " * (11 * MIB) + b"]")],
    "chunks without an end": [head(CHUNKED), *[b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 32],
    "white space without an end": [head(CHUNKED), *[b"10000\r\n" + b" " * 65536 + b"\r\n"] * 32],
    "chunks of one byte": [head(CHUNKED), b"1\r\nx\r\n" * (MIB + 1)],
}


@pytest.mark.parametrize("pieces", SIZES.values(), ids=SIZES)
def test_bodies_that_are_too_large_are_refused_while_they_come(
    service: RestProcess, pieces: list[bytes]
) -> None:
    refused(exchange(service.port, *pieces), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        (b"GET", b"/v1/feeds/user_logins/messages", 405),
        (b"DELETE", b"/v1/feeds/user_logins/messages", 405),
        (b"TRACE", b"/v1/feeds/user_logins/messages", 405),
        (b"POST", b"/v1/feeds", 405),
        (b"POST", b"/v1/feeds/" + SECRET + b"/messages", 404),
        (b"GET", b"/" + SECRET, 404),
        (b"GET", b"/v1/feeds/../../etc/passwd", 404),
        (b"GET", b"/v1/feeds/%00", 404),
        (b"GET", b"/v1/feeds/%ff%fe", 404),
        (b"GET", b"//metrics", 404),
        (b"GET", b"/healthz%0A", 404),
        (b"GET", b"/v1/feeds%0a", 404),
        (b"POST", b"/v1/feeds/user_logins/messages%0A", 404),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    service: RestProcess, method: bytes, path: bytes, status: int
) -> None:
    raw = head(b"Connection: close", method=method, path=path)
    refused(exchange(service.port, raw), status)
