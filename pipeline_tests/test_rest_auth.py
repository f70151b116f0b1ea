"""Who may send: keys open their own feeds, and show nothing of the others."""

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from pipeline import feeds
from pipeline.produce.rest.api_keys import digest_of
from pipeline.produce.rest.senders import Senders, load_senders
from pipeline_tests.rest_case import LOGINS, READINGS, USER_LOGINS, Rest, observed_queue, rest
from pipeline_tests.samples import EVERY_TYPE, eventually, login, reading

_KEYS = {
    "acme": "key-of-acme",
    "every": "key-of-every",
    "slow": "key-of-slow",
    "bulk": "key-of-bulk",
}


def _senders() -> Senders:
    listed = {
        "acme": {"feeds": ["user_logins"], "keys": [digest_of(_KEYS["acme"])], "per_second": 1e6},
        "every": {"feeds": ["*"], "keys": [digest_of(_KEYS["every"])], "per_second": 1e6},
        "slow": {"feeds": ["*"], "keys": [digest_of(_KEYS["slow"])], "per_second": 0.1},
        "bulk": {"feeds": ["*"], "keys": [digest_of(_KEYS["bulk"])], "per_second": 1},
    }
    senders = load_senders(json.dumps({"senders": listed}), None, {"user_logins", "readings"})
    assert senders is not None
    return senders


@pytest.fixture(scope="module")
def service(aws_session: boto3.Session) -> Iterator[Rest]:
    """A service with four senders."""
    with observed_queue(aws_session) as (sqs, _), rest(sqs, senders=_senders()) as running:
        yield running


def _as(sender: str) -> dict[str, str]:
    return {"authorization": f"Bearer {_KEYS[sender]}"}


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", "Basic key-of-acme", "key-of-acme"]
)
@pytest.mark.parametrize(
    "path",
    [LOGINS, READINGS, "/v1/feeds", "/v1/feeds/nowhere/messages", "/v1/x", "/docs", "/nothing"],
)
def test_without_a_key_everything_looks_the_same(service: Rest, given: str, path: str) -> None:
    answer = service.http.get(path, headers={"authorization": given} if given else {})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthorized")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_two_authorizations_are_none(service: Rest) -> None:
    given = [("authorization", f"Bearer {_KEYS['acme']}"), ("authorization", "Bearer other")]
    for headers in (given, given[::-1]):
        assert service.http.get("/v1/feeds", headers=headers).status_code == 401


def test_an_event_id_begins_with_its_sender(service: Rest) -> None:
    """Nobody can suppress an event of somebody else's by sending its id first."""
    ids = {
        service.post(login(), headers=_as(sender) | {"event-id": "4711"}).json()["event_id"]
        for sender in ("acme", "every")
    }
    assert ids == {"rest:acme:4711", "rest:every:4711"}
    assert set(service.queued(USER_LOGINS)) == ids


@pytest.mark.parametrize("path", [READINGS, "/v1/feeds/nowhere/messages", "/v1/feeds/readings"])
def test_a_feed_that_is_not_the_keys_looks_like_none(service: Rest, path: str) -> None:
    for method in ("GET", "POST", "DELETE", "OPTIONS"):
        answer = service.http.request(method, path, headers=_as("acme"))
        assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")


def test_each_sees_its_own_feeds_only(service: Rest) -> None:
    def seen(sender: str) -> tuple[list[str], bool]:
        listed = service.http.get("/v1/feeds", headers=_as(sender)).json()["feeds"]
        rest_of_it = service.http.get("/docs", headers=_as(sender)).text
        rest_of_it += service.http.get("/openapi.json", headers=_as(sender)).text
        return [each["name"] for each in listed], "readings" in rest_of_it

    assert seen("acme") == (["user_logins"], False)
    assert seen("every") == (["user_logins", "readings"], True)


def test_what_the_platform_asks_needs_no_key(service: Rest) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/problems/contract"):
        assert service.http.get(path).status_code == 200


def test_a_sender_that_sends_more_than_it_may_is_told_when(service: Rest) -> None:
    """Fault 27."""
    assert service.post(reading(), READINGS, headers=_as("slow")).status_code == 202
    answer = service.post(reading(), READINGS, headers=_as("slow"))
    assert (answer.status_code, answer.json()["type"]) == (429, "/problems/too-many-requests")
    assert 1 <= int(answer.headers["retry-after"]) <= 10
    assert service.post(reading(), READINGS, headers=_as("every")).status_code == 202
    assert len(service.queued(EVERY_TYPE)) == 2


def test_a_batch_larger_than_ten_seconds_worth_is_let_in_and_paid_for(service: Rest) -> None:
    batch = [reading(id=number) for number in range(30)]
    assert service.post(batch, READINGS, headers=_as("bulk")).status_code == 202
    assert len(service.queued(EVERY_TYPE)) == 30
    answer = service.post(reading(), READINGS, headers=_as("bulk"))
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 21


def test_no_key_is_ever_shown(service: Rest, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [service.post(login(), headers=_as(sender)) for sender in _KEYS]
    answers += [service.post({}, headers=_as("acme")), service.http.get("/metrics")]
    shown = [each.text + str(each.headers) for each in answers] + list(capsys.readouterr())
    assert not any(key in each for key in _KEYS.values() for each in shown)
    service.queued()


def test_a_feed_named_like_the_end_of_a_path_is_hidden_as_well(aws_session: boto3.Session) -> None:
    """`/v1/feeds/messages` is the feed `messages`, not the endpoint of somebody's feed."""
    served = [feeds.find("messages"), USER_LOGINS]
    with (
        observed_queue(aws_session) as (sqs, _),
        rest(sqs, senders=_senders(), served=served) as running,
    ):
        told = running.http.get("/openapi.json", headers=_as("acme")).json()["paths"]
    assert [path for path in told if "user_logins" not in path and path.startswith("/v1/")] == [
        "/v1/feeds"
    ]


def test_a_key_that_is_dropped_is_refused_without_a_restart(
    aws_session: boto3.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service itself looks at its list again and again."""
    monkeypatch.setattr(Senders.keep_fresh, "__defaults__", (0.01,))
    acme = {"feeds": ["*"], "keys": [digest_of(_KEYS["acme"])]}
    file = tmp_path / "keys.json"
    file.touch(0o600)
    file.write_text(json.dumps({"senders": {"acme": acme}}))
    senders = load_senders(str(file), None, {"user_logins", "readings"})

    def status() -> int:
        return running.http.get("/v1/feeds", headers=_as("acme")).status_code

    with observed_queue(aws_session) as (sqs, _), rest(sqs, senders=senders) as running:
        assert status() == 200
        file.write_text(json.dumps({"senders": {"acme": {**acme, "keys": []}}}))
        eventually(lambda: status() == 401)
