"""A record is answered 202 once it is on the queue; what breaks its contract is told, not shown."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from pipeline.decode import Decoder
from pipeline_tests.rest_case import LOGINS, READINGS, USER_LOGINS, Rest, observed_queue, rest
from pipeline_tests.samples import CANARY, EVERY_TYPE, SENT, login, reading


@pytest.fixture(scope="module")
def running(aws_session: boto3.Session) -> Iterator[Rest]:
    """One service for all tests of this file."""
    with observed_queue(aws_session) as (sqs, _), rest(sqs) as running:
        yield running


@pytest.fixture
def service(running: Rest) -> Rest:
    """The service, over empty queues."""
    running.queued(USER_LOGINS)
    running.queued(EVERY_TYPE)
    return running


def test_a_record_is_on_the_queue_when_it_is_answered(service: Rest) -> None:
    answer = service.post(login())
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert told["event_id"].startswith("rest:local:")
    assert str(uuid.UUID(told["message_id"])) == told["message_id"]
    assert service.queued() == {told["event_id"]: login()}


def test_a_feed_with_every_type_and_nested_fields_needs_no_line_more(service: Rest) -> None:
    answer = service.post(reading(), READINGS)
    assert answer.status_code == 202
    assert service.queued(EVERY_TYPE) == {answer.json()["event_id"]: reading()}


def test_a_batch_is_answered_record_by_record(service: Rest) -> None:
    """Fault 75: never "202 for all" where one is not on the queue."""
    answer = service.post([login(user_id="a"), login(ip=CANARY), login(user_id="b"), 5])
    assert answer.status_code == 207
    items = answer.json()["items"]
    assert [each["status"] for each in items] == [202, 422, 202, 422]
    assert [each["index"] for each in items] == [0, 1, 2, 3]
    assert items[1]["error"]["field"] == "ip"
    assert items[1]["error"]["rule"] == "bad_address"
    assert items[3]["error"]["rule"] == "not_an_object"
    users = {event_id: record["user_id"] for event_id, record in service.queued().items()}
    assert users == {items[0]["event_id"]: "a", items[2]["event_id"]: "b"}


def test_a_batch_that_is_taken_whole_is_202(service: Rest) -> None:
    answer = service.post([login(user_id=str(place)) for place in range(25)])
    assert answer.status_code == 202
    assert len(service.queued()) == 25


def test_a_batch_of_which_nothing_keeps_its_contract_is_a_problem_with_items(
    service: Rest,
) -> None:
    answer = service.post([{}, login(app_version=3)])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [each["error"]["rule"] for each in answer.json()["items"]] == ["missing", "wrong_type"]
    assert service.queued() == {}


@pytest.mark.parametrize(("count", "status"), [(0, 422), (1, 202), (1_000, 202), (1_001, 422)])
def test_a_batch_has_one_to_a_thousand_records(service: Rest, count: int, status: int) -> None:
    answer = service.post([login()] * count)
    assert answer.status_code == status
    if status == 422:
        assert answer.json()["type"] == "/problems/batch-size"


def test_an_array_of_millions_of_nothings_is_refused_before_it_is_taken_apart(
    service: Rest,
) -> None:
    answer = service.post(b"[" + b"1," * 2_000_000 + b"1]")
    assert (answer.status_code, answer.json()["type"]) == (422, "/problems/batch-size")


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "empty_body"),
        (b"  ", "empty_body"),
        (b"{", "not_json"),
        (b'{"a":}', "not_json"),
        (b"\xef\xbb\xbf{}", "not_json"),
        (b'{"a":"\xff"}', "not_json"),
        (b'{"a":NaN}', "not_a_number"),
        (b'{"a":"\\ud800"}', "lone_surrogate"),
        (b'{"a":' + b"[" * 99_999, "too_deep"),
        (b'{"a":' + b"[" * 150 + b"]" * 150 + b"}", "too_deep"),
        (b"[" * 99_999, "too_deep"),
        (b"[1,]", "not_json"),
        (b"[{}", "not_json"),
    ],
)
def test_what_is_no_json_is_400(service: Rest, body: bytes, rule: str) -> None:
    answer = service.post(body)
    assert (answer.status_code, answer.json()["rule"]) == (400, rule)
    assert answer.json()["type"] == "/problems/not-json"


@pytest.mark.parametrize(
    ("record", "field", "rule"),
    [
        (reading(id=...), "id", "missing"),
        (reading(id=None), "id", "null"),
        (reading(id=1.5), "id", "wrong_type"),
        (reading(level="middling"), "level", "not_allowed"),
        (reading(email="x" * 41), "email", "too_long"),
        (reading(email="\0"), "email", "nul_character"),
        (reading(celsius=61), "celsius", "out_of_range"),
        (reading(device={"ip": "x", "place": {"room": 1}}), "device.ip", "bad_address"),
        (reading(device={"ip": "::1", "place": {"room": 0}}), "device.place.room", "out_of_range"),
        (reading(device=7), "device.ip", "wrong_type"),
        (reading(measured_at="yesterday"), "measured_at", "bad_timestamp"),
        (reading(installed_on="2023-02-30"), "installed_on", "bad_date"),
        (reading(extra=1), None, "unknown_field"),
        (7, None, "not_an_object"),
    ],
)
def test_a_breach_names_the_path_and_the_rule(
    service: Rest, record: object, field: str | None, rule: str
) -> None:
    answer = service.post(record, READINGS)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem.get("field") == field
    assert problem["rule"] == rule
    assert problem["feed"] == "readings"
    assert problem["status"] == 422
    assert str(uuid.UUID(problem["error_id"])) == problem["error_id"]
    assert service.queued(EVERY_TYPE) == {}


def test_nothing_of_what_was_sent_is_ever_shown(
    service: Rest, capsys: pytest.CaptureFixture[str]
) -> None:
    """A canary in every place that a caller can write to."""
    broken: list[Any] = [reading(**{name: CANARY * 9}) for name in reading()]
    broken += [reading(**{CANARY: 1}), CANARY, {CANARY: CANARY}, reading(device={"ip": CANARY})]
    answers = [service.post(each, READINGS) for each in broken]
    answers += [service.post(broken, READINGS)]
    answers += [service.post(f'{{"{CANARY}'.encode()), service.post(f"[{CANARY}]".encode())]
    answers += [
        service.post(login(), f"{LOGINS}/{CANARY}"),
        service.post({}, f"{LOGINS}?{CANARY}={CANARY}"),
        service.http.request("POST", f"/{CANARY}"),
        *(
            service.post(login(), headers={name: f"{CANARY} {CANARY}"})
            for name in ("content-type", "content-encoding", "event-id", "idempotency-key")
        ),
        service.post({}, headers={"x-request-id": f"{CANARY}@", "authorization": CANARY}),
    ]
    assert {each.status_code for each in answers} <= {400, 404, 415, 422}
    shown = [each.text + str(each.headers) for each in answers]
    shown += [service.http.get("/metrics").text, *capsys.readouterr()]
    assert not any(CANARY in each for each in shown)


def test_an_event_id_of_the_callers_own_is_kept_and_is_the_senders(service: Rest) -> None:
    answer = service.post(login(), headers={"event-id": "order-4711"})
    assert answer.json()["event_id"] == "rest:local:order-4711"
    answer = service.post([login(), login()], headers={"event-id": "order-4712"})
    ids = [each["event_id"] for each in answer.json()["items"]]
    assert ids == ["rest:local:order-4712-0", "rest:local:order-4712-1"]


@pytest.mark.parametrize("event_id", ["", "a b", "a:b", "ä", "x" * 129])
def test_a_wrong_event_id_is_refused(service: Rest, event_id: str) -> None:
    body = json.dumps(login()).encode()
    headers = {"content-type": "application/json", "event-id": event_id.encode("latin-1")}
    given = [(name.encode(), value) for name, value in headers.items() if isinstance(value, bytes)]
    given.append((b"content-type", b"application/json"))
    answer = service.http.post(LOGINS, content=body, headers=given)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-header")
    assert answer.json()["detail"].startswith("Event-Id: ")


def test_what_xml_cannot_say_arrives_all_the_same(service: Rest) -> None:
    """Fault 29: SQS takes no U+FFFE; in JSON its escape says the same."""
    answer = service.post(json.dumps(login(user_id="\ufffe\uffff"), ensure_ascii=False).encode())
    assert answer.status_code == 202
    [record] = service.queued().values()
    assert record["user_id"] == "\ufffe\uffff"


def test_what_is_taken_here_is_not_quarantined_there(service: Rest) -> None:
    service.post([login(locale=None), login(locale=...), login(user_id="ß🙂")])
    for record in service.queued().values():
        assert Decoder(USER_LOGINS).decode(json.dumps(record), SENT).unknown == 0
