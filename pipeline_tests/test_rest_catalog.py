"""A contract is all that a feed needs: its schema, its page and its OpenAPI follow from it."""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext

import boto3
import httpx
import jsonschema_rs
import pytest

from pipeline import feeds
from pipeline.contract import Feed, Field
from pipeline.masking.policies import Keep
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.rest.catalog import examples, schema
from pipeline.produce.rest.problems import KINDS
from pipeline.produce.rest.schema import definitions, move_definitions, record_schema
from pipeline.reasons import Refused
from pipeline.types import JsonObject, Text
from pipeline_tests.rest_case import LOGINS, USER_LOGINS, Rest, observed_queue, rest
from pipeline_tests.samples import EVERY_TYPE, login, reading


@pytest.fixture(scope="module")
def service(aws_session: boto3.Session) -> Iterator[Rest]:
    """One service for all tests of this file."""
    with observed_queue(aws_session) as (sqs, _), rest(sqs) as running:
        yield running


def test_every_feed_is_listed_with_where_to_send(service: Rest) -> None:
    listed = service.http.get("/v1/feeds").json()["feeds"]
    assert [each["name"] for each in listed] == ["user_logins", "readings"]
    for each in listed:
        assert service.http.get(each["schema"]).status_code == 200
        assert service.http.get(each["messages"]).status_code == 405


def test_the_schema_takes_what_the_service_takes(service: Rest) -> None:
    told = service.http.get("/v1/feeds/readings")
    assert told.headers["content-type"] == "application/schema+json"
    valid = jsonschema_rs.validator_for(told.json()).is_valid
    assert valid(reading())
    assert valid(reading(note=None, celsius=..., installed_on=None))
    for broken in (
        reading(id=...),
        reading(id=None),
        reading(id=1.5),
        reading(extra=1),
        reading(device={"place": {"room": 1}}),
        reading(device={"ip": "::1", "place": {"room": 100}}),
        reading(level="middling"),
        reading(**{"@sent_at": "2024-01-01T00:00:00Z"}),
    ):
        assert not valid(broken)


ENVELOPES = Feed(
    name="envelopes",
    description="What only its reader knows.",
    queue="envelopes",
    table="envelopes",
    fields=(
        Field("payload", JsonObject(40), Keep()),
        Field("name", Text(9, max_bytes=4), Keep()),
        Field("note", Text(9, max_bytes=20), Keep(), nullable=True, description="A remark."),
    ),
)


@pytest.mark.parametrize(
    ("payload", "sound"),
    [
        ({"a": [1, None, {"b": "\\u0000 as text"}]}, True),
        ({"\0": 1}, False),
        ({"a": "\0"}, False),
        ({"a": [[], [{"b": {"c\0": 1}}]]}, False),
        ({"a": {"b": ["c", "\0"]}}, False),
        ([], False),
    ],
)
def test_both_schemas_take_of_nested_json_what_the_type_takes(
    payload: object, *, sound: bool
) -> None:
    record = {"payload": payload, "name": "abcd"}
    assert jsonschema_rs.validator_for(schema(ENVELOPES)).is_valid(record) is sound
    told = move_definitions(definitions(ENVELOPES), "#/components/schemas/")
    told |= move_definitions({"envelopes": record_schema(ENVELOPES)}, "#/components/schemas/")
    document = {"components": {"schemas": told}, "$ref": "#/components/schemas/envelopes"}
    assert jsonschema_rs.validator_for(document).is_valid(record) is sound
    with nullcontext() if sound else pytest.raises(Refused):
        JsonObject(40).read(payload)


def test_a_number_of_bytes_is_said_as_far_as_a_schema_can() -> None:
    fields = schema(ENVELOPES)["properties"]
    assert fields["name"] == {
        "type": "string",
        "maxLength": 4,
        "pattern": "^[^\\u0000]*$",
        "description": "At most 4 bytes in UTF-8.",
    }
    assert fields["note"]["description"] == "A remark. At most 20 bytes in UTF-8."
    assert fields["payload"]["description"].startswith("At most 40 bytes in UTF-8")


@pytest.mark.parametrize("feed", [USER_LOGINS, EVERY_TYPE])
def test_what_is_generated_from_a_contract_fits_its_schema(feed: Feed) -> None:
    valid = jsonschema_rs.validator_for(schema(feed)).is_valid
    for event in generate(feed, Recipe(count=50, random_seed=1)):
        assert valid(json.loads(event.body))


def test_examples_are_real_and_the_same_every_time(service: Rest) -> None:
    first, again = (service.http.get("/openapi.json").json() for _ in range(2))
    assert first == again
    content = first["paths"][LOGINS]["post"]["requestBody"]["content"]["application/json"]
    for each in content["examples"].values():
        assert service.post(each["value"]).status_code == 202
    service.queued()


def test_every_feed_takes_its_own_examples(aws_session: boto3.Session) -> None:
    """Those of this project, and whichever comes next."""
    every = feeds.discover()
    with observed_queue(aws_session) as (sqs, _), rest(sqs, served=every) as running:
        for feed in every:
            sample = examples(feed, 3)
            assert len(sample) == 3
            assert running.post(sample, f"/v1/feeds/{feed.name}/messages").status_code == 202
            assert list(running.queued(feed).values()) == sample


def test_openapi_describes_every_route_of_the_api(service: Rest) -> None:
    paths = service.http.get("/openapi.json").json()["paths"]
    assert set(paths) == {
        *("/v1/feeds", "/healthz", "/readyz", "/metrics"),
        *(
            f"/v1/feeds/{name}{rest}"
            for name in ("user_logins", "readings")
            for rest in ("", "/messages")
        ),
    }
    answers = paths[LOGINS]["post"]["responses"]
    assert {"202", "207", "400", "401", "409", "413", "415", "422", "429", "503"} <= set(answers)


def test_the_pages_need_nothing_from_elsewhere_and_run_no_script(service: Rest) -> None:
    home = service.http.get("/", follow_redirects=True)
    assert home.url.path == "/docs"
    for page in (home, service.http.get("/problems"), service.http.get("/problems/contract")):
        assert page.status_code == 200
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "<script" not in page.text
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', page.text)
    for each in ("device.place.room", "curl", "/v1/feeds/readings/messages"):
        assert each in home.text


def test_every_problem_has_a_page(service: Rest) -> None:
    for kind in KINDS:
        assert kind.title in service.http.get(kind.type).text.replace("&#x27;", "'")
    assert service.http.get("/problems/nothing").status_code == 404


def _checked(answer: httpx.Response) -> httpx.Response:
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-request-id"]
    assert "server" not in answer.headers
    return answer


def test_what_is_not_there_is_a_problem_too(service: Rest) -> None:
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/v1/feeds/", 404),
        ("GET", "/v1/feeds/nowhere", 404),
        ("POST", "/v1/feeds/nowhere/messages", 404),
        ("GET", LOGINS, 405),
        ("PUT", LOGINS, 405),
        ("POST", "/v1/feeds", 405),
        ("TRACE", "/healthz", 405),
    ):
        answer = _checked(service.http.request(method, path))
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert service.http.put(LOGINS).headers["allow"] == "POST"


def test_head_and_options_are_answered(service: Rest) -> None:
    head = _checked(service.http.head("/v1/feeds"))
    assert (head.status_code, head.content) == (200, b"")
    options = _checked(service.http.options(LOGINS))
    assert (options.status_code, options.headers["allow"]) == (204, "POST")


def test_a_sane_request_id_is_kept_and_any_other_is_replaced(
    service: Rest, capsys: pytest.CaptureFixture[str]
) -> None:
    for given, kept in (("a1b2c3d4-e5f6", True), ("short", False), ("10.0.0.1.2.3", False)):
        answer = service.post(login(), headers={"x-request-id": given})
        assert (answer.headers["x-request-id"] == given) is kept
    service.queued()
    service.http.get("/healthz")  # by then the line is written
    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    [line] = [each for each in lines if each["request_id"] == "a1b2c3d4-e5f6"]
    assert len(line.pop("message_ids")) == len(line.pop("event_ids")) == 1
    assert line | {"at": "", "ms": 0, "bytes": 0} == {
        "at": "",
        "level": "INFO",
        "logger": "pipeline.produce.rest",
        "text": f"POST {LOGINS} 202",
        "request_id": "a1b2c3d4-e5f6",
        "method": "POST",
        "route": LOGINS,
        "sender": "local",
        "feed": "user_logins",
        "count": 1,
        "bytes": 0,
        "status": 202,
        "outcome": "ok",
        "ms": 0,
    }


def test_without_keys_no_page_with_a_name_of_its_own_may_use_the_service(service: Rest) -> None:
    """A name that leads to 127.0.0.1 makes a web page's requests same-origin."""
    answer = service.post(login(), headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["type"]) == (421, "/problems/misdirected")
    for host in ("localhost", "localhost:80", "127.0.0.1", "[::1]:8080"):
        assert service.http.get("/healthz", headers={"host": host}).status_code == 200


def test_no_label_of_a_metric_holds_what_a_caller_sent(service: Rest) -> None:
    service.http.get("/canary-7f3a91")
    service.http.request("CANARY", "/healthz")
    text = service.http.get("/metrics").text
    assert "canary" not in text.lower()
    assert service.metric("requests_total", route="unknown", status="404") >= 1


def test_a_command_to_copy_sends_no_key_in_the_clear(service: Rest) -> None:
    """The gateway speaks TLS with the caller, and plain HTTP with the service."""
    headers = {"x-forwarded-proto": "https"}
    page = service.http.get("/docs", headers=headers).text
    assert "curl -i https://" in page
    assert "curl -i http://" not in page
