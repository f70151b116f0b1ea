"""Only what is meant for outside is passed on, and as it should be."""

import json

import httpx
import pytest

from deploy.gateway.tests.conftest import Pair
from deploy.gateway.tests.nginx import gateway
from deploy.gateway.tests.problems import problem

PUBLIC = ("/v1/feeds", "/v1/feeds/user_logins", "/v1/feeds/user_logins/messages")
INTERNAL = (
    "/metrics",
    "/healthz",
    "/readyz",
    "/",
    "/v2/feeds",
    "/redoc",
    "/.problem",
    "/problems/../metrics",
)
DOCUMENTATION = ("/docs", "/openapi.json", "/problems", "/problems/not-found")
DISGUISED = (
    "/v1/../metrics",
    "/v1/%2e%2e/metrics",
    "/v1/..%2fmetrics",
    "/v1//../metrics",
    "//metrics",
    "/%6detrics",
    "/metrics/",
    "/metrics?/v1/feeds",
    "/metrics#/../v1/feeds",
    "/v1/feeds%0d%0aX-Injected:%201",
    "/v1/feeds%00",
    "/v1/feeds;/../../metrics",
)


@pytest.mark.parametrize("path", PUBLIC)
def test_the_api_is_passed_on(pair: Pair, path: str) -> None:
    with pair.gateway.client() as client:
        assert client.post(path, content=b"{}").status_code == 202
    assert [each.target for each in pair.service.requests] == [path]


@pytest.mark.parametrize("path", INTERNAL)
def test_everything_else_is_not_there(pair: Pair, path: str) -> None:
    with pair.gateway.client() as client:
        answer = client.get(path)
    assert problem(answer, 404)["type"] == "/problems/not-found"
    assert not pair.service.requests


@pytest.mark.parametrize("path", DISGUISED)
def test_no_disguise_leads_inside(pair: Pair, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = pair.gateway.send(head.encode())
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 ")), answer
    assert not pair.service.requests


def test_documentation_is_a_switch(pair: Pair) -> None:
    with pair.gateway.client() as client:
        assert [client.get(path).status_code for path in DOCUMENTATION] == [202] * 4
    with gateway("127.0.0.1:9") as front, front.client() as client:
        for path in DOCUMENTATION:
            problem(client.get(path), 404)


def test_what_a_client_says_of_itself_is_replaced(pair: Pair) -> None:
    claimed = {
        "X-Forwarded-For": "192.0.2.66",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "192.0.2.66",
        "Forwarded": "for=192.0.2.66",
        "Proxy": "http://evil.example",
        "Cookie": "a=b",
        "Connection": "X-Forwarded-For, close",
    }
    with pair.gateway.client(**claimed) as client:
        assert client.get("/v1/feeds").status_code == 202
    (request,) = pair.service.requests
    assert request.headers["x-forwarded-for"] == ["127.0.0.1"]
    assert request.headers["x-forwarded-proto"] == ["https"]
    assert request.headers["x-forwarded-host"] == ["localhost"]
    assert "evil" not in json.dumps(request.headers)
    assert "192.0.2.66" not in json.dumps(request.headers)
    assert not {"cookie", "forwarded", "proxy", "x-real-ip"} & set(request.headers)


def test_the_key_and_the_clients_own_headers_arrive(pair: Pair) -> None:
    sent = {"Authorization": "Bearer abc", "Idempotency-Key": '"0123456789abcdef"'}
    with pair.gateway.client(**sent) as client:
        client.post("/v1/feeds/f/messages", json={})
    (request,) = pair.service.requests
    assert request.headers["authorization"] == ["Bearer abc"]
    assert request.headers["idempotency-key"] == ['"0123456789abcdef"']
    assert request.headers["content-type"] == ["application/json"]


def test_a_sane_request_id_is_kept_and_returned(pair: Pair) -> None:
    with pair.gateway.client() as client:
        answer = client.get("/v1/feeds", headers={"X-Request-Id": "client-0001_a"})
    assert answer.headers.get_list("x-request-id") == ["client-0001_a"]
    assert pair.service.requests[0].headers["x-request-id"] == ["client-0001_a"]


@pytest.mark.parametrize(
    "given", ["", "short", "x" * 65, "has space in it", "alice.example", 'quo"ted-quoted']
)
def test_any_other_request_id_is_replaced(pair: Pair, given: str) -> None:
    with pair.gateway.client() as client:
        answer = client.get("/v1/feeds", headers={"X-Request-Id": given})
    (made,) = pair.service.requests[0].headers["x-request-id"]
    assert len(made) == 32
    assert answer.headers.get_list("x-request-id") == [made]


def test_another_host_is_refused(pair: Pair) -> None:
    with pair.gateway.client(Host="evil.example") as client:
        problem(client.get("/v1/feeds"), 421)
    assert not pair.service.requests


def test_every_answer_carries_the_security_headers(pair: Pair) -> None:
    with pair.gateway.client() as client:
        answers: list[httpx.Response] = [client.get("/v1/feeds"), client.get("/metrics")]
    for answer in answers:
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers["server"] == "nginx"
