"""Whatever a gateway answers in place of the service: sending ends in time and claims nothing."""

import gzip
import time
from collections.abc import Iterator
from typing import Final

import pytest

from pipeline.messages import Event
from pipeline.produce import rest_client
from pipeline.produce.rest_client import Answer, RestClient
from pipeline_tests.upstream import BASE, Reply, Server, serving

TAKEN: Final = b'{"event_id": "e", "message_id": "m"}'


@pytest.fixture(scope="module")
def gateway() -> Iterator[Server]:
    with serving() as server:
        yield server


def post(gateway: Server, reply: Reply) -> Answer:
    """What sending an event comes to where every answer is this one."""
    gateway.api.hooks[:] = [lambda _request: reply]
    with RestClient(gateway.url.removesuffix(BASE), None) as client:
        return client.post("user_logins", Event("e", "{}"))


def test_an_answer_that_names_a_message_is_one(gateway: Server) -> None:
    assert post(gateway, Reply(TAKEN, 202)) == Answer(202, "m")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"\x1f\x8bgarbled", 202, {"Content-Encoding": "gzip"}),
        Reply(gzip.compress(TAKEN), 202, {"Content-Encoding": "gzip"}),
        Reply(b"[" * 50_000, 202),
        Reply(b"\xff\xfe", 202),
        Reply(b" " * 1_000_000 + TAKEN, 202),
        Reply(b'{"message_id": "\\u0000"}', 202),
        Reply(b'{"message_id": "\\ud800"}', 202),
    ],
    ids=[
        "not gzip",
        "gzip that nobody asked for",
        "brackets without end",
        "not UTF-8",
        "a million spaces",
        "a control character",
        "half a surrogate pair",
    ],
)
def test_what_names_no_message_is_none(reply: Reply, gateway: Server) -> None:
    answer = post(gateway, reply)
    assert answer == Answer(202)
    assert not answer.accepted


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"", 302, {"Location": "http://xn--/"}),
        Reply(TAKEN, 202, cut=10),
    ],
    ids=["a name that is none", "half an answer"],
)
def test_what_is_no_answer_is_none(reply: Reply, gateway: Server) -> None:
    answer = post(gateway, reply)
    assert (answer.status, answer.may_pass) == (None, True)
    assert answer.trouble


@pytest.mark.parametrize(
    "reply", [Reply(TAKEN, 202, drips=True), Reply(TAKEN, 202, cut=0, hangs=True)]
)
def test_an_answer_has_its_time_as_a_whole(
    reply: Reply, gateway: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_client, "_WHOLE", 0.5)
    began = time.monotonic()
    assert post(gateway, reply).status is None
    assert time.monotonic() - began < 3
