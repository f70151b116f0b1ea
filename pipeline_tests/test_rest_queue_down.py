"""While SQS does not do its work nothing is accepted and nothing kept; callers are told when."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline.messages import Event
from pipeline.produce.rest.limits import Limits
from pipeline.produce.rest.service import Service
from pipeline.produce.rest.settings import build_service
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.expiring_queue import expiring
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.outside_world import KMS_REFUSALS, refusing, unused_port
from pipeline_tests.queue_fixtures import FreshApp, client_for
from pipeline_tests.rest_case import USER_LOGINS, observed_queue, quick, rest
from pipeline_tests.samples import eventually, login

_SEND = "SendMessageBatch"


@pytest.fixture(scope="module")
def observed(aws_session: boto3.Session) -> Iterator[tuple[SQSClient, ObservedApp]]:
    """A queue of this file's own, with its calls."""
    with observed_queue(aws_session) as pair:
        yield pair


def test_sqs_down_is_503_and_nothing_is_accepted(aws_session: boto3.Session) -> None:
    """Faults 74 and 77."""
    with unused_port() as port, rest(client_for(f"http://127.0.0.1:{port}", aws_session)) as down:
        for body in (login(), [login(), login()]):
            answer = down.post(body)
            assert answer.status_code == 503
            assert answer.json()["type"] == "/problems/queue-unavailable"
            assert int(answer.headers["retry-after"]) >= 1
        ready = down.http.get("/readyz")
        assert ready.status_code == 503
        assert set(ready.json()["queues"].values()) == {"E_QUEUE_UNREACHABLE"}
        assert down.http.get("/healthz").status_code == 200
        assert (down.service.room.messages, down.service.room.bytes) == (0, 0)
        assert down.metric("messages_total", outcome="sent") == 0


@pytest.mark.parametrize(
    "code",
    ["AccessDenied", "ExpiredToken", *KMS_REFUSALS, "AWS.SimpleQueueService.NonExistentQueue"],
)
def test_a_refusal_of_sqs_is_503_and_passes(
    observed: tuple[SQSClient, ObservedApp], code: str
) -> None:
    """Faults 20 to 22: not the caller's fault, and not a bug; the service goes on by itself."""
    sqs, _ = observed
    with rest(sqs) as running:
        with refusing(sqs, _SEND, code):
            answer = running.post(login())
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/queue-unavailable")
        assert code not in answer.text
        assert running.post(login()).status_code == 202
        assert len(running.queued()) == 1


def test_a_queue_that_is_made_later_is_found(observed: tuple[SQSClient, ObservedApp]) -> None:
    """Fault 20: the service starts without it, says so, and needs no restart."""
    sqs, _ = observed
    late = replace(USER_LOGINS, name="late", queue="late-queue")
    with rest(sqs, served=(late,), embedded=False) as running:
        assert running.post(login(), "/v1/feeds/late/messages").status_code == 503
        ready = running.http.get("/readyz")
        assert (ready.status_code, ready.json()["queues"]) == (503, {"late": "E_QUEUE_MISSING"})
        sqs.create_queue(QueueName="late-queue")
        assert running.post(login(), "/v1/feeds/late/messages").status_code == 202


def test_it_is_ready_while_one_queue_of_several_can_be_reached(
    observed: tuple[SQSClient, ObservedApp],
) -> None:
    """Whoever asks takes a service that is not ready away from all of its feeds."""
    sqs, _ = observed
    SqsQueue(sqs, USER_LOGINS, embedded=True)  # makes it
    missing = replace(USER_LOGINS, name="missing", queue="missing-queue")
    with rest(sqs, served=(USER_LOGINS, missing), embedded=False) as running:
        ready = running.http.get("/readyz")
    assert (ready.status_code, ready.json()["status"]) == (200, "ok")
    assert ready.json()["queues"] == {USER_LOGINS.name: "ok", "missing": "E_QUEUE_MISSING"}


def test_an_embedded_queue_that_was_lost_is_made_anew(
    queue_server: tuple[str, FreshApp], aws_session: boto3.Session
) -> None:
    """Fault 20."""
    url, app = queue_server
    with closing(client_for(url, aws_session)) as sqs, rest(sqs) as running:
        assert running.post(login()).status_code == 202
        app.replace()
        assert running.post(login()).status_code == 503
        assert running.post(login()).status_code == 202
        assert len(running.queued()) == 1


def test_past_the_bound_requests_are_refused_and_those_before_are_answered(
    observed: tuple[SQSClient, ObservedApp],
) -> None:
    """Fault 77: memory is bounded, in messages."""
    sqs, app = observed
    with rest(sqs, limits=quick(pending_messages=12)) as running, ThreadPoolExecutor(1) as pool:
        running.post(login())
        running.queued()
        with app.gate(_SEND, 1) as gate:
            held = pool.submit(running.post, [login()] * 12)
            eventually(lambda: running.service.room.messages == 12)
            answer = running.post(login())
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
            assert int(answer.headers["retry-after"]) >= 1
            app.let_fail(gate)
            assert held.result().status_code == 503
        assert running.service.room.messages == 0
        assert running.post(login()).status_code == 202
        assert len(running.queued()) == 1


def test_past_the_bound_in_bytes_too(observed: tuple[SQSClient, ObservedApp]) -> None:
    """Fault 77: memory is bounded, in bytes, from the first byte of a body on."""
    sqs, _ = observed
    with rest(sqs, limits=quick(pending_bytes=1_000)) as running:
        answer = running.post([login()] * 20)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/overloaded")
        assert running.post(login()).status_code == 202
        assert (running.service.room.bytes, len(running.queued())) == (0, 1)


def test_what_waits_too_long_is_given_up_and_never_sent(
    observed: tuple[SQSClient, ObservedApp],
) -> None:
    sqs, app = observed
    limits = quick(calls=1, patience_seconds=0.2)
    with rest(sqs, limits=limits) as running, ThreadPoolExecutor(1) as pool:
        running.post(login())
        running.queued()
        with app.gate(_SEND, 1) as gate:
            held = pool.submit(running.post, login())
            gate.reached.wait(10)
            assert running.post(login()).status_code == 503
            calls = app.calls[_SEND]
            app.let_fail(gate)
            held.result()
        assert app.calls[_SEND] == calls
        assert running.metric("messages_total", outcome="expired") == 1
        assert running.queued() == {}


def test_credentials_that_are_renewed_in_their_file_are_taken_up(
    tmp_path: Path, aws_session: boto3.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 21: boto3 reads a file without an expiry once, and the service lives for months."""

    async def is_taken(service: Service) -> bool:
        (outcome,) = await service.gatherer.send(USER_LOGINS.name, [Event("e", "{}")])
        return isinstance(outcome, str)

    async def ask(service: Service) -> None:
        assert await is_taken(service)
        world.expire("OLD")
        assert not await is_taken(service)
        world.write("NEW")
        assert await is_taken(service)
        assert await service.readiness.look() == {USER_LOGINS.name: "ok"}
        await service.gatherer.close()

    with expiring(tmp_path, aws_session, monkeypatch) as world:
        world.write("OLD")
        asyncio.run(ask(build_service(world.environment, [USER_LOGINS], Limits())))
