"""Fault 76: who is slow, stops, hurries or reads nothing costs neither time nor room."""

import contextlib
import gzip
import json
import socket
from collections.abc import Iterator

import pytest

from pipeline.produce.rest.limits import Limits
from pipeline_tests.raw_http import (
    CHUNKED,
    connected,
    exchange,
    exchanges,
    head,
    post,
    read_to_end,
)
from pipeline_tests.rest_process import RestProcess, rest_process
from pipeline_tests.samples import eventually, login

MIB = 1 << 20
SOUND = json.dumps(login()).encode()
KEPT_OPEN = head(b"Content-Length: %d" % len(SOUND)) + SOUND
LAST = post(SOUND)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestProcess]:
    """A service that waits a second for whatever a caller does, and has 20 connections."""
    limits = Limits(
        head_seconds=1, body_seconds=1, answer_seconds=1, idle_seconds=1, connections=20
    )
    with rest_process(tmp_path_factory.mktemp("rest"), limits) as service:
        yield service
    assert "Traceback" not in service.output.read_text()
    assert "ERROR" not in service.output.read_text()


@pytest.fixture
def service(running: RestProcess) -> Iterator[RestProcess]:
    """The service, which takes an ordinary message after each test."""
    yield running
    before = running.depth()
    eventually(lambda: [each.status for each in exchange(running.port, LAST)] == [202])
    assert running.depth() == before + 1


def test_connections_that_rest_are_closed(service: RestProcess) -> None:
    silent, lines, used = exchanges(service.port, b"", b"\r\n\r\n", KEPT_OPEN)
    assert (silent, lines) == ([], [])
    assert [each.status for each in used] == [202]


def test_heads_that_do_not_end_are_given_up(service: RestProcess) -> None:
    begun = (b"P", b"POST /v1", head()[:-2], KEPT_OPEN + b"POST /v1")
    for *_, reply in exchanges(service.port, *begun):
        assert reply.status == 408
        assert reply.problem["type"] == "/problems/timeout"


def test_bodies_that_do_not_end_are_given_up(service: RestProcess) -> None:
    before = service.depth()
    half = head(b"Content-Length: 500") + SOUND
    for (reply,) in exchanges(
        service.port, half, head(CHUNKED), head(CHUNKED) + b"5\r\nab", head(CHUNKED) + b"1;"
    ):
        assert reply.status == 408
        assert reply.problem["type"] == "/problems/timeout"
    assert service.depth() == before


def test_drops_do_not_keep_a_connection(service: RestProcess) -> None:
    """Each sends a little every tenth of a second, and would for ever."""
    drops = {
        b"POST / HTTP/1.1\r\n": (b"X: a\r\n", b"HTTP/1.1 408 "),
        b"POST / HTTP/1.1\r\nA": (b"A", b"HTTP/1.1 408 "),
        head(b"Content-Length: 1000"): (b" ", b"HTTP/1.1 408 "),
        head(CHUNKED): (b"1\r\n \r\n", b"HTTP/1.1 408 "),
        b"\r\n": (b"\r\n", b""),
    }
    with contextlib.ExitStack() as open_ones:
        dripping = {}
        for first, (drop, start) in drops.items():
            connection = open_ones.enter_context(connected(service.port, patience=0.02))
            connection.sendall(first)
            dripping[connection] = (drop, start)
        for _ in range(100):
            for connection, (drop, start) in list(dripping.items()):
                if (told := first_words(connection)) is None:
                    with contextlib.suppress(ConnectionError):
                        connection.sendall(drop)
                else:
                    assert told.startswith(start)
                    del dripping[connection]
    assert not dripping


def first_words(connection: socket.socket) -> bytes | None:
    """What is answered so far, nothing where the connection is closed; None while it waits."""
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""
    except TimeoutError:
        return None


UNFINISHED = {
    **{f"{size} bytes": KEPT_OPEN[:size] for size in range(0, len(KEPT_OPEN), 37)},
    "all but white space": head(b"Content-Length: %d" % (len(SOUND) + 1)) + SOUND,
    "all but the last chunk": head(CHUNKED) + b"%x\r\n%s\r\n" % (len(SOUND), SOUND),
    "all but the last line": head(CHUNKED) + b"%x\r\n%s\r\n0\r\n" % (len(SOUND), SOUND),
}


@pytest.mark.parametrize("raw", UNFINISHED.values(), ids=UNFINISHED)
def test_who_hangs_up_on_the_way_has_sent_nothing(service: RestProcess, raw: bytes) -> None:
    before = service.depth()
    with connected(service.port) as connection:
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        assert b" 202 " not in read_to_end(connection)
    assert service.depth() == before


def test_more_than_it_said_is_the_next_request_and_no_sound_one(service: RestProcess) -> None:
    before = service.depth()
    """What follows may stand behind the answer to what was sound, or be left without one."""
    first, *rest = exchange(service.port, KEPT_OPEN + SOUND)
    assert first.status == 202
    assert [each.status for each in rest] in ([], [400])
    assert service.depth() == before + 1


def test_requests_in_one_go_are_answered_in_their_order(service: RestProcess) -> None:
    before = service.depth()
    wrong = head(b"Content-Length: 2") + b"{}"
    answers = exchange(service.port, KEPT_OPEN + wrong + KEPT_OPEN + wrong + LAST)
    assert [each.status for each in answers] == [202, 422, 202, 422, 202]
    assert service.depth() == before + 3


@pytest.mark.parametrize("size", [1, 7])
def test_it_does_not_matter_in_which_pieces_a_request_comes(
    service: RestProcess, size: int
) -> None:
    pieces = [LAST[place : place + size] for place in range(0, len(LAST), size)]
    assert [each.status for each in exchange(service.port, *pieces)] == [202]


def test_connections_past_the_bound_are_told_so_and_those_within_go_on(
    service: RestProcess,
) -> None:
    with contextlib.ExitStack() as open_ones:
        held = [open_ones.enter_context(connected(service.port)) for _ in range(20)]
        for connection in held:
            connection.sendall(KEPT_OPEN[:-1])
        (reply,) = exchange(service.port, LAST)
        assert reply.status == 503
        assert reply.headers["retry-after"]
        assert reply.problem["type"] == "/problems/overloaded"
        held[0].sendall(KEPT_OPEN[-1:])
        assert held[0].recv(65536).startswith(b"HTTP/1.1 202 ")


def test_requests_in_one_go_are_few_or_the_connection_ends(service: RestProcess) -> None:
    ask = head(method=b"GET", path=b"/v1/feeds")
    answers = exchange(service.port, ask * 100)
    assert {each.status for each in answers} == {200}
    assert len(answers) == 21


def abuse(port: int, hold: contextlib.ExitStack) -> None:
    """Much of everything that could stay in memory; what is open then is for the caller to hold."""
    bomb = gzip.compress(b"[" + b" " * 20 * MIB)
    assert [each.status for each in exchange(port, post(bomb, b"Content-Encoding: gzip"))] == [415]
    for body in (b"[" * MIB, b"[" + b"1," * 4 * MIB + b"1]", b'[{"a":' * 100_000):
        assert exchange(port, post(body))[0].status in {400, 413, 422}
    unread = head(method=b"GET", path=b"/v1/feeds/user_logins") * 2_500
    unfinished = head(b"Content-Length: %d" % (9 * MIB)) + b"[" + b" " * (MIB // 2)
    for raw in (unread, unfinished) * 9:
        connection = hold.enter_context(connected(port))
        with contextlib.suppress(ConnectionError):  # as much as is taken of it
            connection.sendall(raw)


def test_memory_stays_flat(service: RestProcess) -> None:
    for _ in range(4):
        with contextlib.ExitStack() as hold:
            abuse(service.port, hold)
            assert service.memory() - service.at_rest < 64 * MIB
