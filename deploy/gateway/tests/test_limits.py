"""Sizes, rate, connections and patience: refused with the right status, as problem+json."""

import json
from collections.abc import Iterator

import pytest

from deploy.gateway.tests.conftest import Pair
from deploy.gateway.tests.nginx import Gateway, gateway
from deploy.gateway.tests.problems import problem
from deploy.gateway.tests.upstream import Upstream, upstream

MIB = 1 << 20
MESSAGES = "/v1/feeds/user_logins/messages"
SECRET = "alice@example.com"  # noqa: S105 - what must not come back


def test_a_body_at_the_limit_is_passed_on_whole(pair: Pair) -> None:
    with pair.gateway.client() as client:
        assert client.post(MESSAGES, content=b"x" * MIB).status_code == 202
    assert len(pair.service.requests[0].body) == MIB


def test_a_body_past_the_limit_is_refused_before_it_is_sent(pair: Pair) -> None:
    with pair.gateway.client() as client:
        problem(client.post(MESSAGES, content=b"x" * (MIB + 1)), 413)
    assert not pair.service.requests


def test_a_body_that_hides_its_length_is_cut_at_the_limit(pair: Pair) -> None:
    blocks = [b"x" * 65536] * 17
    with pair.gateway.client() as client:
        problem(client.post(MESSAGES, content=iter(blocks)), 413)
    # It is refused while the service is still to hear of it, and no other test should.
    assert pair.service.wait(lambda requests: bool(requests) and requests[0].ended)
    assert all(len(each.body) <= MIB for each in pair.service.requests)


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/feeds?q=" + "a" * 5000, {}, 414),
        ("/v1/feeds", {"X-Long": "a" * 5000}, 431),
        ("/v1/feeds", {f"X-{number}": "a" for number in range(10_000)}, 431),
        ("/v1/feeds", {"X-" + "n" * 5000: "a"}, 431),
    ],
    ids=["long address", "huge header", "10,000 headers", "huge name"],
)
def test_heads_that_are_too_large(
    pair: Pair, path: str, headers: dict[str, str], status: int
) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
    answer = pair.gateway.send(head.encode())
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"application/problem+json" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == status
    assert not pair.service.requests


def test_nothing_that_was_sent_comes_back(pair: Pair) -> None:
    with pair.gateway.client(**{"X-Request-Id": f"{SECRET}-{SECRET}"}) as client:
        answers = [
            client.get(f"/{SECRET}?{SECRET}"),
            client.post(MESSAGES, content=SECRET.encode() * 100_000),
            client.get(f"/v1/{SECRET}", headers={"Host": SECRET}),
        ]
    for answer in answers:
        assert SECRET not in answer.text
        assert SECRET not in str(answer.headers)
        assert "nginx" not in answer.text


@pytest.fixture
def strict() -> Iterator[tuple[Gateway, Upstream]]:
    """A gateway of one request a second and two at once, behind a balancer on loopback."""
    with (
        upstream() as (service, place),
        gateway(place, rate="1r/s", burst="2", connections="2", balancer="127.0.0.1") as front,
    ):
        yield front, service


def statuses(front: Gateway, *addresses: str) -> list[int]:
    """What requests are answered that a balancer passes on for some addresses."""
    with front.client() as client:
        return [
            client.get("/v1/feeds", headers={"X-Forwarded-For": address}).status_code
            for address in addresses
        ]


def test_the_rate_of_an_address_is_limited(strict: tuple[Gateway, Upstream]) -> None:
    front, service = strict
    with front.client() as client:
        answers = [client.get("/v1/feeds") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429]
    assert problem(answers[3], 429)["type"] == "/problems/too-many-requests"
    assert answers[3].headers["retry-after"] == "1"
    assert len(service.requests) == 3


@pytest.mark.parametrize(
    "same",
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1"),
        ("2001:db8::1", "2001:db8::ffff:1:2:3"),
        ("2001:db8:1::1", "2001:db8:1::5:6:7"),
    ],
)
def test_a_subscriber_is_one_address_or_one_network_of_64_bits(
    strict: tuple[Gateway, Upstream], same: tuple[str, str]
) -> None:
    one, other = same
    assert statuses(strict[0], one, other, one, other) == [202, 202, 202, 429]


@pytest.mark.parametrize(
    "different",
    [
        ("192.0.2.1", "192.0.2.2"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("2001:db8:1:2::1", "2001:db8:1:3::1"),
        ("2001:db8::1", "2001:db8:1::1"),
    ],
)
def test_subscribers_have_rates_of_their_own(
    strict: tuple[Gateway, Upstream], different: tuple[str, str]
) -> None:
    one, other = different
    assert statuses(strict[0], one, one, one, one, other) == [202, 202, 202, 429, 202]


def test_requests_at_once_are_limited(strict: tuple[Gateway, Upstream]) -> None:
    front, service = strict
    held = [front.connect() for _ in range(2)]
    try:
        for connection in held:
            connection.sendall(b"GET /v1/silent HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert service.wait(lambda requests: len(requests) == 2)
        with front.client() as client:
            answer = client.get("/v1/feeds")
        problem(answer, 429)
        assert answer.headers["retry-after"] == "1"
    finally:
        for connection in held:
            connection.close()


@pytest.fixture(scope="module")
def hasty() -> Iterator[tuple[Gateway, Upstream]]:
    """A gateway that waits no longer than a second."""
    with upstream() as (service, place), gateway(place, patience="1s") as front:
        yield front, service


def test_a_connection_that_says_nothing_is_closed(hasty: tuple[Gateway, Upstream]) -> None:
    assert hasty[0].send(b"") == b""


def test_a_header_that_comes_too_slowly_is_cut_off(hasty: tuple[Gateway, Upstream]) -> None:
    front, service = hasty
    assert front.send(b"GET /v1/feeds HTTP/1.1\r\nHost: loc") == b""
    assert not service.requests


def test_a_body_that_stops_is_cut_off_and_never_whole(hasty: tuple[Gateway, Upstream]) -> None:
    front, service = hasty
    head = f"POST {MESSAGES} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n"
    assert b" 202 " not in front.send(head.encode() + b"half")
    assert service.wait(lambda requests: all(each.ended for each in requests))
    assert all(len(each.body) < 100 for each in service.requests)
