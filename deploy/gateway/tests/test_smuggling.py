"""Requests inside requests: refused, or answered once; the service never sees a second one."""

import pytest

from deploy.gateway.tests.conftest import Pair

START = b"POST /v1/feeds/f/messages HTTP/1.1\r\nHost: localhost\r\n"
INNER = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: "
CHUNKED = b"0\r\n\r\n" + INNER
SIZE = b"%d" % len(CHUNKED)

REFUSED = {
    "length and chunked": START
    + b"Content-Length: " + SIZE + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "chunked and length": START
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + CHUNKED,
    "two lengths": START + b"Content-Length: 4\r\nContent-Length: " + SIZE + b"\r\n\r\n" + CHUNKED,
    "the same length twice": START + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": START + b"Content-Length: 4, 4\r\n\r\nabcd" + INNER,
    "a negative length": START + b"Content-Length: -1\r\n\r\n" + INNER,
    "a length with a sign": START + b"Content-Length: +4\r\n\r\nabcd" + INNER,
    "a length in hexadecimal": START + b"Content-Length: 0x4\r\n\r\nabcd" + INNER,
    "a length that is a word": START + b"Content-Length: four\r\n\r\nabcd" + INNER,
    "a length past 64 bits": START + b"Content-Length: 18446744073709551620\r\n\r\nabcd" + INNER,
    "chunked twice": START
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "chunked after another": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "chunked misspelt": START + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKED,
    "chunked in quotes": START + b'Transfer-Encoding: "chunked"\r\n\r\n' + CHUNKED,
    "chunked after a tab": START + b"Transfer-Encoding: \tchunked\r\n\r\n" + CHUNKED,
    "identity": START + b"Transfer-Encoding: identity\r\nContent-Length: 4\r\n\r\nabcd" + INNER,
    "chunked in HTTP/1.0": START.replace(b"1.1", b"1.0")
    + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "a header on two lines": START
    + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\nabcd" + INNER,
    "a space before the colon": START
    + b"Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\nabcd" + INNER,
    "a bare return": START + b"X: a\rTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
    "a zero byte": START + b"X: a\0b\r\nContent-Length: 4\r\n\r\nabcd" + INNER,
    "a size that is no number": START + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + INNER,
    "a size past 64 bits": START
    + b"Transfer-Encoding: chunked\r\n\r\n10000000000000004\r\nabcd\r\n" + CHUNKED,
    "a chunk longer than its size": START
    + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n" + CHUNKED,
    "two hosts": START + b"Host: evil.example\r\nContent-Length: 4\r\n\r\nabcd" + INNER,
    "no host": b"POST /v1/feeds/f/messages HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd" + INNER,
    "a method with a space": b"PO ST /v1/feeds HTTP/1.1\r\nHost: localhost\r\n\r\n" + INNER,
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}  # fmt: skip

# Headers that nginx drops or reads leniently: what it passes on says one thing only.
ANSWERED = {
    "an underscore": b"Transfer_Encoding: chunked\r\nContent-Length: 4\r\n\r\nabcd",
    "bare line feeds": b"Content-Length: 4\n\nabcd",
    "a bare line feed within": b"X: a\nContent-Length: 4\r\n\r\nabcd",
    "a chunk with an extension": b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nabcd\r\n0\r\n\r\n",
    "a trailer": b"Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\nContent-Length: 9\r\n\r\n",
    "chunked in capitals": b"Transfer-Encoding: CHUNKED\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
    "a connection that takes headers away": b"Connection: Content-Length\r\nContent-Length: 4"
    b"\r\n\r\nabcd",
}


@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED)
def test_what_may_be_read_in_two_ways_is_refused(pair: Pair, raw: bytes) -> None:
    answer = pair.gateway.send(raw)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert answer.count(b"HTTP/1.1 ") == 1, answer
    assert b"application/problem+json" in answer, answer
    assert b"nginx</" not in answer
    # A chunk is found to be wrong when the head has gone on already: such a body is never whole.
    assert not [each for each in pair.service.requests if each.target == "/metrics"]
    assert not [each for each in pair.service.requests if each.body.endswith(b"abcd")]


@pytest.mark.parametrize("rest", ANSWERED.values(), ids=ANSWERED)
def test_what_may_be_read_in_one_way_is_answered_once(pair: Pair, rest: bytes) -> None:
    end = b"GET /v1/feeds HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = pair.gateway.send(START + rest + end)
    assert answer.count(b"HTTP/1.1 202 ") == 2, answer
    assert [each.target for each in pair.service.requests] == ["/v1/feeds/f/messages", "/v1/feeds"]
    first, _ = pair.service.requests
    assert first.body == b"abcd"
    assert ("content-length" in first.headers) != ("transfer-encoding" in first.headers)
    assert not [name for name in first.headers if "_" in name]


def test_a_request_without_a_body_takes_none_of_the_next(pair: Pair) -> None:
    twice = b"GET /v1/feeds HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = twice.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert pair.gateway.send(twice + last).count(b"HTTP/1.1 202 ") == 2
    assert len(pair.service.requests) == 2


def test_an_expectation_is_met_here(pair: Pair) -> None:
    """The service never sees it, so that none waits for the other."""
    with pair.gateway.client(Expect="100-continue") as client:
        assert client.post("/v1/feeds/f/messages", content=b"{}").status_code == 202
    assert "expect" not in pair.service.requests[0].headers
