"""A service that is down, silent or early; what nginx leaves on disk and in its log: nothing."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from deploy.gateway.tests.conftest import Pair
from deploy.gateway.tests.nginx import gateway, read_to_end
from deploy.gateway.tests.problems import problem

MESSAGES = "/v1/feeds/user_logins/messages"
SECRET = "alice@example.com"  # noqa: S105 - what must not be kept


@contextlib.contextmanager
def hanging_up() -> Iterator[tuple[str, list[bytes]]]:
    """A service that reads a request and closes the connection; what each connection brought."""
    seen: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                seen.append(connection.recv(65536))

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", seen
    finally:
        # A close alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def test_a_service_that_is_down_is_a_problem_with_a_time_to_come_back() -> None:
    with gateway("127.0.0.1:9") as front, front.client() as client:
        answer = client.post(MESSAGES, json={"a": 1})
    assert problem(answer, 502)["type"] == "about:blank"
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_that_got_no_answer_is_not_sent_again(method: str) -> None:
    with (
        hanging_up() as (first, seen),
        hanging_up() as (second, seen_too),
        gateway(f"{first}; server {second}") as front,
        front.client() as client,
    ):
        answer = client.request(method, MESSAGES, content=b"{}")
    problem(answer, 502)
    assert len(seen) + len(seen_too) == 1


def test_an_answer_before_the_body_is_whole_reaches_the_client(pair: Pair) -> None:
    head = b"POST /v1/early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with pair.gateway.connect() as connection:
        connection.sendall(head + b"{")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("framing", ["length", "chunks", "tiny chunks", "long extensions"])
def test_a_body_never_touches_the_disk(pair: Pair, framing: str) -> None:
    """Nginx has nowhere to write. Chunks of one byte need five of framing, which it counts too."""
    size = 500_000
    bodies = {
        "length": b"x" * size,
        "chunks": b"%x\r\n%s\r\n" % (size, b"x" * size),
        "tiny chunks": b"1\r\nx\r\n" * (size // 5),
        "long extensions": (b"1;" + b"e" * 1000 + b"\r\nx\r\n") * (size // 500),
    }
    content = {"length": size, "chunks": size, "tiny chunks": size // 5}.get(framing, size // 500)
    lengths = f"Content-Length: {size + 1}" if framing == "length" else "Transfer-Encoding: chunked"
    head = f"POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\n{lengths}\r\n\r\n"
    with pair.gateway.connect() as connection:
        connection.sendall(head.encode() + bodies[framing])
        assert pair.service.wait(
            lambda requests: sum(len(each.body) for each in requests) == content
        )
        connection.sendall(b"x" if framing == "length" else b"0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")


def test_the_log_has_a_line_a_request_and_nothing_of_anybody(pair: Pair) -> None:
    asked = "request-of-the-log-test"
    headers = {"X-Request-Id": asked, "User-Agent": SECRET, "Referer": SECRET}
    with pair.gateway.client(**headers) as client:
        client.post(f"{MESSAGES}?email={SECRET}", content=SECRET.encode())
        client.get(f"/{SECRET}")
        client.get(f"/v1/{SECRET}")
        client.get(f"/{SECRET}", headers={"Host": SECRET, "X-Request-Id": "another-request"})
        # The line of a request is there once the next one on its connection is answered.
        client.get("/", headers={"X-Request-Id": "the-last-request"})
    taken, *refused = [line for line in pair.gateway.log() if line["request_id"] == asked]
    assert (taken["route"], taken["method"], taken["status"]) == (MESSAGES, "POST", 202)
    assert taken["service_status"] == "202"
    assert taken["network"] == "127.0.0.0/24"
    assert [(line["route"], line["status"]) for line in refused] == [("-", 404), ("-", 404)]
    kept = json.dumps(pair.gateway.log()) + (pair.gateway.folder / "errors.log").read_text()
    assert SECRET not in kept
    assert "127.0.0.1" not in kept


def test_a_flood_is_not_told_with_addresses_or_request_lines() -> None:
    with gateway("127.0.0.1:9", rate="1r/s", burst="1") as front:
        with front.client() as client:
            for _ in range(4):
                client.get(f"/v1/feeds?email={SECRET}")
        head = b"GET /v1/feeds HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with socket.create_connection(("127.0.0.1", front.port), timeout=5) as connection:
            connection.sendall(head)
            read_to_end(connection)
        assert (front.folder / "errors.log").read_text() == ""
