"""Gateway and REST service together: from a producer's TLS connection to the queue."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploy.gateway.tests.nginx import FOLDER, Gateway, gateway
from deploy.gateway.tests.problems import problem
from pipeline.produce.rest.limits import Limits
from pipeline_tests.raw_http import head
from pipeline_tests.rest_process import RestProcess, rest_process
from pipeline_tests.samples import eventually, login

MESSAGES = "/v1/feeds/user_logins/messages"
MIB = 1 << 20


@dataclass(frozen=True)
class Chain:
    """A gateway before the real service."""

    gateway: Gateway
    service: RestProcess


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """The service as it is, behind the gateway as gateway.env has it."""
    with (
        rest_process(tmp_path_factory.mktemp("rest"), Limits()) as service,
        gateway(f"127.0.0.1:{service.port}", documentation="shown") as front,
    ):
        front.take_temporary_folders()
        yield Chain(front, service)


def test_a_message_goes_through_and_its_request_id_is_in_both_logs(chain: Chain) -> None:
    before = chain.service.depth()
    asked = "from-producer-to-queue"
    with chain.gateway.client() as client:
        answer = client.post(MESSAGES, json=login(), headers={"X-Request-Id": asked})
        client.get("/v1/feeds")  # the line of a request is there once the next one is answered
    assert answer.status_code == 202
    assert answer.headers.get_list("x-request-id") == [asked]
    assert chain.service.depth() == before + 1
    told = (json.loads(line) for line in chain.service.output.read_text().splitlines())
    (line,) = (each for each in told if each["request_id"] == asked)
    assert (line["outcome"], line["count"]) == ("ok", 1)
    (line,) = (each for each in chain.gateway.log() if each["request_id"] == asked)
    assert (line["route"], line["status"]) == (MESSAGES, 202)


def test_a_made_request_id_is_one_that_the_service_keeps(chain: Chain) -> None:
    with chain.gateway.client() as client:
        made = client.get("/v1/feeds").headers["x-request-id"]
    eventually(lambda: f'"request_id": "{made}"' in chain.service.output.read_text())


def test_a_batch_at_the_services_bound_goes_through_in_chunks(chain: Chain) -> None:
    record = json.dumps(login()).encode()
    batch = b"[" + b",".join([record] * 1_000)
    filled = batch + b" " * (10 * MIB - len(batch) - 1) + b"]"
    blocks = (filled[start : start + MIB] for start in range(0, len(filled), MIB))
    before = chain.service.depth()
    with chain.gateway.client() as client:
        answer = client.post(MESSAGES, content=blocks, headers={"Content-Type": "application/json"})
    assert answer.status_code == 202, answer.text
    assert chain.service.depth() == before + 1_000


def test_what_the_service_says_passes_unchanged(chain: Chain) -> None:
    with chain.gateway.client() as client:
        wrong = client.post(MESSAGES, json=login(ip="nowhere"))
        unknown = client.get("/v1/feeds/nothing")
    assert (wrong.status_code, unknown.status_code) == (422, 404)
    assert wrong.json()["field"] == "ip"
    assert wrong.headers["content-type"] == "application/problem+json"
    for answer in (wrong, unknown):
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
        assert answer.headers["cache-control"] == "no-store"


def test_every_type_of_the_gateway_is_explained_by_the_service(chain: Chain) -> None:
    types = set(re.findall(r"/problems/[a-z-]+", (FOLDER / "nginx.conf.template").read_text()))
    assert len(types) > 5
    with chain.gateway.client() as client:
        assert {client.get(each).status_code for each in types} == {200}
        assert client.get("/openapi.json").json()["openapi"].startswith("3.")


def test_who_is_refused_while_sending_reads_why(chain: Chain) -> None:
    raw = head(b"Content-Length: %d" % (8 * MIB), b"Content-Encoding: gzip", path=MESSAGES.encode())
    answer = chain.gateway.send(raw + b"x" * MIB)
    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"/problems/unsupported-media-type" in answer


def test_a_half_body_is_no_message(chain: Chain) -> None:
    before = chain.service.depth()
    with chain.gateway.connect() as connection:
        connection.sendall(head(b"Content-Length: 500", path=MESSAGES.encode()) + b'{"user_id": "')
    with chain.gateway.client() as client:
        assert client.post(MESSAGES, json=login()).status_code == 202
    assert chain.service.depth() == before + 1


def test_the_service_going_away_is_a_problem(tmp_path_factory: pytest.TempPathFactory) -> None:
    with rest_process(tmp_path_factory.mktemp("rest"), Limits()) as service:
        place = f"127.0.0.1:{service.port}"
        with gateway(place) as front, front.client() as client:
            assert client.post(MESSAGES, json=login()).status_code == 202
            service.stop()
            answer = client.post(MESSAGES, json=login())
    assert problem(answer, 502)["type"] == "about:blank"
    assert answer.headers["retry-after"] == "5"
