"""What is too large, too slow or no HTTP is refused with its own status, and costs no memory."""

import contextlib
import json
import socket
from collections.abc import Iterator

import boto3
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline_tests.rest_case import LOGINS, Rest, observed_queue, quick, rest
from pipeline_tests.samples import CANARY, eventually, login

_MIB = 2**20
_JSON = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def sqs(aws_session: boto3.Session) -> Iterator[SQSClient]:
    """A queue of this file's own."""
    with observed_queue(aws_session) as (client, _):
        yield client


@pytest.fixture(scope="module")
def service(sqs: SQSClient) -> Iterator[Rest]:
    """A service that waits a second for heads and bodies."""
    limits = quick(head_seconds=1.0, body_seconds=1.0, batch_bytes=2 * _MIB)
    with rest(sqs, limits=limits) as running:
        yield running


def _connected(service: Rest) -> socket.socket:
    host, _, port = service.url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)))
    connection.settimeout(10)
    return connection


def _exchange(service: Rest, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
    """The first answer to bytes as they are, on a connection of their own, until it is closed."""
    with _connected(service) as connection:
        for part in parts:
            connection.sendall(part)
        heard = b""
        while part := connection.recv(65_536):
            heard += part
    head, _, body = heard.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, body


def _post(headers: str, body: str = "") -> bytes:
    return f"POST {LOGINS} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}".encode()


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=latin-1"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_another_type_is_415(service: Rest, headers: dict[str, str]) -> None:
    """Fault 76: nothing is ever unpacked, so there is no bomb."""
    answer = service.http.post(LOGINS, content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/unsupported-media-type")


@pytest.mark.parametrize("media", ["application/json", "Application/JSON; charset=UTF-8"])
def test_json_in_utf8_is_taken(service: Rest, media: str) -> None:
    content = json.dumps(login()).encode()
    answer = service.http.post(LOGINS, content=content, headers={"content-type": media})
    assert answer.status_code == 202
    service.queued()


@pytest.mark.parametrize(
    "body", [b'{"a":"' + b"x" * _MIB + b'"}', b"[" + b" " * 2 * _MIB + b"]", b" " * (_MIB + 1)]
)
def test_too_large_is_413_whatever_the_headers_say(service: Rest, body: bytes) -> None:
    """Fault 76: counted as it comes, so a chunked body without a length is as bounded."""

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    for content in (body, chunks()):
        headers = {"content-type": "application/json"}
        answer = service.http.post(LOGINS, content=content, headers=headers)
        assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


def test_a_length_beyond_the_limit_is_refused_at_once(service: Rest) -> None:
    """Fault 76."""
    asked = _post(f"{_JSON}Expect: 100-continue\r\nContent-Length: {10 * _MIB}\r\n")
    status, headers, _ = _exchange(service, asked)
    assert (status, headers["connection"]) == (413, "close")


def test_a_connection_goes_on_after_a_refusal(service: Rest) -> None:
    with _connected(service) as connection:
        for _ in range(2):
            connection.sendall(_post("Content-Type: text/plain\r\nContent-Length: 2\r\n", "{}"))
            assert connection.recv(65_536).startswith(b"HTTP/1.1 415 ")


def test_neither_a_slow_answer_nor_a_rest_between_requests_is_cut_off(sqs: SQSClient) -> None:
    """The time for heads is for heads: it ends when they are complete."""
    with rest(sqs, limits=quick(head_seconds=0.2, linger_seconds=0.6)) as running:
        with _connected(running) as rests:
            for _ in range(2):
                rests.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert rests.recv(65_536).startswith(b"HTTP/1.1 200 ")
                assert running.post(login()).status_code == 202
        running.queued()


def test_a_body_that_does_not_come_is_408(service: Rest) -> None:
    """Fault 76: half a body."""
    status, headers, body = _exchange(service, _post(f"{_JSON}Content-Length: 100\r\n", "{"))
    assert (status, headers["connection"]) == (408, "close")
    assert json.loads(body)["type"] == "/problems/timeout"


def test_headers_that_do_not_come_are_408(service: Rest) -> None:
    """Fault 76: slow-loris."""
    status, _, body = _exchange(service, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: ")
    assert (status, json.loads(body)["type"]) == (408, "/problems/timeout")


@pytest.mark.parametrize("said", [b"", b"\r\n"])
def test_a_connection_that_says_nothing_is_closed(service: Rest, said: bytes) -> None:
    with _connected(service) as connection:
        connection.sendall(said)
        assert connection.recv(65_536) == b""


@pytest.mark.parametrize(
    "lines",
    [
        "".join(f"X-{place}: 1\r\n" for place in range(10_000)),
        "".join(f"X-{place}: 1\r\n" for place in range(150)),
        f"X-A: {'a' * 40_000}\r\n",
        f"X-A: {'a' * 4_000_000}\r\n",
    ],
)
def test_too_many_and_too_large_headers_are_431(service: Rest, lines: str) -> None:
    """Fault 76: ten thousand headers."""
    status, headers, body = _exchange(service, _post(lines))
    assert (status, headers["content-type"]) == (431, "application/problem+json")
    assert json.loads(body)["type"] == "/problems/headers-too-large"


def test_a_header_without_an_end_is_431_before_its_time_is_up(sqs: SQSClient) -> None:
    with rest(sqs) as running:
        endless = [b"GET /healthz HTTP/1.1\r\nX-A: ", *[b"a" * 65_536] * 8]
        status, _, _ = _exchange(running, *endless)
    assert status == 431


def test_a_path_that_is_too_long_is_414(service: Rest) -> None:
    status, _, _ = _exchange(service, f"GET /{'a' * 5_000} HTTP/1.1\r\n\r\n".encode())
    assert status == 414


@pytest.mark.parametrize(
    "request_",
    [
        f"{CANARY}\r\n\r\n".encode(),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX:\0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
        _post(f"{_JSON}Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
        _post(f"{_JSON}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        _post(f"{_JSON}Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        _post(f"{_JSON}Transfer-Encoding: chunked\r\n", "zz\r\n"),
        _post(f"{_JSON}Content-Length: -1\r\n"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_sound_http_is_a_problem_and_ends_the_connection(
    service: Rest, request_: bytes
) -> None:
    """Fault 76, and requests that two servers would read differently."""
    status, headers, body = _exchange(service, request_)
    assert (status, headers["connection"]) == (400, "close")
    assert json.loads(body)["type"] == "/problems/bad-request"
    assert CANARY not in body.decode()


def test_what_follows_a_sound_request_does_not_take_its_answer(service: Rest) -> None:
    body = json.dumps(login())
    sound = _post(f"{_JSON}Content-Length: {len(body)}\r\n", body)
    status, _, _ = _exchange(service, sound + b"nonsense\r\n\r\n")
    assert status == 202
    assert len(service.queued()) == 1


def test_an_unsound_request_is_answered_on_a_connection_that_was_used_before(
    service: Rest,
) -> None:
    with _connected(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")


def test_a_body_that_turns_out_unsound_holds_no_memory(sqs: SQSClient) -> None:
    with rest(sqs) as running, _connected(running) as connection:
        head = _post(f"{_JSON}Transfer-Encoding: chunked\r\n", "3\r\n{{{\r\n")
        connection.sendall(head)
        eventually(lambda: running.service.room.bytes == 3)
        connection.sendall(b"nonsense\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400 ")
        eventually(lambda: running.service.room.bytes == 0)


def _first(service: Rest) -> bytes:
    with _connected(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return connection.recv(65_536)[:12]


def test_beyond_the_cap_connections_are_told_so(sqs: SQSClient) -> None:
    with rest(sqs, limits=quick(connections=20)) as running:
        opened = [_connected(running) for _ in range(20)]
        try:
            eventually(lambda: b"503" in _first(running))
        finally:
            for each in opened:
                each.close()
        eventually(lambda: b"200" in _first(running))


def test_those_past_the_cap_take_no_place_away(sqs: SQSClient) -> None:
    body = json.dumps(login())
    ask = _post(f"{_JSON}Content-Length: {len(body)}\r\nConnection: close\r\n", body)
    with rest(sqs, limits=quick(connections=20)) as running, contextlib.ExitStack() as opened:
        first, surplus = (
            [opened.enter_context(_connected(running)) for _ in range(count)] for count in (20, 10)
        )
        surplus[-1].sendall(ask)
        assert b" 503 " in _heard(surplus[-1])[:20]
        for each in first:
            each.sendall(ask)
        assert {_heard(each)[:12] for each in first} == {b"HTTP/1.1 202"}
        running.queued()


def test_callers_that_do_not_read_are_cut_off_and_nothing_is_logged(
    sqs: SQSClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Two take all connections, ask twenty times for a long answer each, and read none."""
    wrong = json.dumps([{}] * 1_000)
    ask = _post(f"{_JSON}Content-Length: {len(wrong)}\r\n", wrong)
    limits = quick(connections=2, answer_seconds=0.2)
    with (
        rest(sqs, limits=limits) as running,
        _connected(running) as one,
        _connected(running) as other,
    ):
        for deaf in (one, other):
            deaf.sendall(ask * 20)
        assert running.post(login()).status_code == 503
        eventually(lambda: _has_room_for_two(running))  # who is still there would now be read from
        for deaf in (one, other):
            assert 0 < _heard(deaf).count(b"HTTP/1.1 422 ") < 20
    running.queued()
    assert not [each for each in caplog.records if each.levelname == "ERROR"]


def _has_room_for_two(running: Rest) -> bool:
    with _connected(running):
        return running.post(login()).status_code == 202


def _heard(connection: socket.socket) -> bytes:
    """What was answered, until the connection is at its end or cut off."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65_536):
            heard += part
    return heard


def test_a_caller_that_leaves_holds_no_memory(sqs: SQSClient) -> None:
    with rest(sqs) as running:
        with _connected(running) as connection:
            connection.sendall(_post(f"{_JSON}Content-Length: 1000\r\n", "{" * 900))
            eventually(lambda: running.service.room.bytes == 900)
        eventually(lambda: running.service.room.bytes == 0)
