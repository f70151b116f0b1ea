"""A retry is answered as the first request was, and its event is on the queue once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import boto3
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline.produce.rest.api_keys import digest_of
from pipeline.produce.rest.idempotency_table import TableStore
from pipeline.produce.rest.senders import load_senders
from pipeline_tests.observed_queue import ObservedApp
from pipeline_tests.outside_world import answered, refusing
from pipeline_tests.rest_case import LOGINS, USER_LOGINS, Rest, observed_queue, quick, rest
from pipeline_tests.samples import login

_SEND = "SendMessageBatch"
_KEY = {"idempotency-key": '"8e03978e-40d5-43e8-bc93-6894a57f9324"'}


@pytest.fixture(scope="module")
def observed(aws_session: boto3.Session) -> Iterator[tuple[SQSClient, ObservedApp]]:
    """A queue of this file's own, with its calls."""
    with observed_queue(aws_session) as pair:
        yield pair


@pytest.fixture
def service(observed: tuple[SQSClient, ObservedApp]) -> Iterator[Rest]:
    """A service that remembers nothing yet."""
    with rest(observed[0]) as running:
        yield running


def test_the_same_request_again_gets_the_same_answer(service: Rest) -> None:
    """Fault 73."""
    first, again = (service.post(login(), headers=_KEY) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert again.json() == first.json()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert list(service.queued()) == [first.json()["event_id"]]


def test_a_key_in_quotes_and_a_bare_one_are_the_same(service: Rest) -> None:
    bare = {"idempotency-key": _KEY["idempotency-key"].strip('"')}
    answers = [service.post(login(), headers=each) for each in (_KEY, bare)]
    assert answers[0].json() == answers[1].json()
    assert len(service.queued()) == 1


def test_another_payload_under_the_same_key_is_refused(service: Rest) -> None:
    """Fault 73."""
    service.post(login(), headers=_KEY)
    answer = service.post(login(user_id="another"), headers=_KEY)
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/key-reused")
    assert len(service.queued()) == 1


def test_a_batch_is_answered_the_same_too(service: Rest) -> None:
    batch = [login(user_id="a"), {}, login(user_id="b")]
    first, again = (service.post(batch, headers=_KEY) for _ in range(2))
    assert first.status_code == again.status_code == 207
    assert first.content == again.content
    assert len(service.queued()) == 2


def test_while_the_first_is_in_progress_a_retry_is_told_to_wait(
    observed: tuple[SQSClient, ObservedApp], service: Rest
) -> None:
    """Fault 73."""
    service.post(login())
    service.queued()
    with observed[1].gate(_SEND, 1) as gate, ThreadPoolExecutor(1) as pool:
        first = pool.submit(service.post, login(), headers=_KEY)
        gate.reached.wait(10)
        answer = service.post(login(), headers=_KEY)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/in-progress")
        assert int(answer.headers["retry-after"]) >= 1
        observed[1].let_fail(gate)
        assert first.result().status_code == 503


def test_a_lost_answer_of_sqs_makes_no_second_event(
    observed: tuple[SQSClient, ObservedApp], service: Rest
) -> None:
    """Faults 73 and 74: the queue has it twice, under one id; the ledger loads it once."""
    _, app = observed
    service.post(login())
    service.queued()
    with app.gate(_SEND, 1, performed=True) as gate, ThreadPoolExecutor(1) as pool:
        lost = pool.submit(service.post, login(), headers=_KEY)
        gate.reached.wait(10)
        app.let_fail(gate)
        assert lost.result().status_code == 503
    [first] = service.queued()
    again = service.post(login(), headers=_KEY)
    assert again.status_code == 202
    assert again.json()["event_id"] == first
    assert list(service.queued()) == [first]


def test_what_was_refused_for_now_is_done_by_the_retry(
    observed: tuple[SQSClient, ObservedApp], service: Rest
) -> None:
    with refusing(observed[0], _SEND, "InternalError"):
        assert service.post([login(), login()], headers=_KEY).status_code == 503
    assert service.post([login(), login()], headers=_KEY).status_code == 202
    assert len(service.queued()) == 2


def test_a_batch_that_was_taken_in_part_is_taken_whole_by_the_retry(
    observed: tuple[SQSClient, ObservedApp], service: Rest
) -> None:
    """Else the retry would be told that it is done, and the rest would be sent by nobody."""
    failed = {"Code": "InternalError", "SenderFault": False}
    taken = {"Id": "0", "MessageId": "m-0", "MD5OfMessageBody": "0"}
    in_part: dict[str, object] = {"Successful": [taken], "Failed": [{"Id": "1", **failed}]}
    nothing: dict[str, object] = {"Successful": [], "Failed": [{"Id": "0", **failed}]}
    batch = [login(user_id="a"), login(user_id="b")]
    with answered(observed[0], _SEND, in_part, *[nothing] * 4):
        first = service.post(batch, headers=_KEY)
    assert first.status_code == 207
    assert [each["status"] for each in first.json()["items"]] == [202, 503]
    assert "retry-after" in first.headers
    again = service.post(batch, headers=_KEY)
    assert again.status_code == 202
    items = again.json()["items"]
    assert items[0]["event_id"] == first.json()["items"][0]["event_id"]
    assert set(service.queued()) == {each["event_id"] for each in items}


def test_two_senders_with_the_same_key_are_two(observed: tuple[SQSClient, ObservedApp]) -> None:
    keys = {"acme": "key-of-acme", "umbrella": "key-of-umbrella"}
    listed = {name: {"feeds": ["*"], "keys": [digest_of(key)]} for name, key in keys.items()}
    senders = load_senders(json.dumps({"senders": listed}), None, {USER_LOGINS.name})
    with rest(observed[0], senders=senders) as running:
        answers = [
            running.post(login(), headers=_KEY | {"authorization": f"Bearer {key}"})
            for key in keys.values()
        ]
        assert [each.status_code for each in answers] == [202, 202]
        assert not any("idempotency-replayed" in each.headers for each in answers)
        assert set(running.queued()) == {each.json()["event_id"] for each in answers}
        assert answers[0].json() != answers[1].json()


def test_the_same_key_at_two_feeds_is_two(observed: tuple[SQSClient, ObservedApp]) -> None:
    twin = replace(USER_LOGINS, name="twin_logins", queue="twin-queue")
    with rest(observed[0], served=(USER_LOGINS, twin)) as running:
        answers = [
            running.post(login(), path, headers=_KEY)
            for path in (LOGINS, "/v1/feeds/twin_logins/messages")
        ]
        assert [each.status_code for each in answers] == [202, 202]
        assert not any("idempotency-replayed" in each.headers for each in answers)
        ids = [each.json()["event_id"] for each in answers]
        assert [list(running.queued(feed)) for feed in (USER_LOGINS, twin)] == [[ids[0]], [ids[1]]]
        assert ids[0] != ids[1]


def test_what_breaks_its_contract_uses_no_key_up(service: Rest) -> None:
    assert service.post({}, headers=_KEY).status_code == 422
    assert service.post(login(), headers=_KEY).status_code == 202
    assert len(service.queued()) == 1


@pytest.mark.parametrize(
    "key", ["", "short", '"tooshort"', "x" * 256, "with a space in it", '"' * 20]
)
def test_a_key_that_is_none_is_refused(service: Rest, key: str) -> None:
    answer = service.post(login(), headers={"idempotency-key": key})
    told = answer.json()
    assert (answer.status_code, told["type"]) == (400, "/problems/bad-header")
    assert told["title"] == "A header breaks its rule"  # and not that the HTTP is unsound: it is
    assert told["detail"].startswith("Idempotency-Key: ")


def test_a_store_that_is_away_is_503_before_anything_is_sent(
    observed: tuple[SQSClient, ObservedApp],
) -> None:
    away = TableStore("postgresql://nobody@127.0.0.1:1/nothing")
    with rest(observed[0], store=away, limits=quick()) as running:
        answer = running.post(login(), headers=_KEY)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/store-unavailable")
        assert running.queued() == {}
        assert running.post(login()).status_code == 202
        running.queued()
