"""Traffic reaches the queue by SQS and by the REST service, and as whoever the settings name."""

import contextlib
import itertools
import json
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import uvicorn
from mypy_boto3_sqs import SQSClient

from pipeline.errors import SettingsError
from pipeline.local.queue.server import QueueApp, QueueServer
from pipeline.local.queue.wire import Receive, Send
from pipeline.messages import Event
from pipeline.produce.generate import Recipe, generate
from pipeline.produce.rest.api_keys import digest_of
from pipeline.produce.rest.senders import load_senders
from pipeline.produce.rest_client import RestClient
from pipeline.produce.ways import CountedOutlet, Outcome, RestWay, SqsWay
from pipeline.reasons import Reason
from pipeline.resources.sqs import SqsQueue
from pipeline_tests.cli_case import PIPELINE, fails, pipeline
from pipeline_tests.outside_world import answered
from pipeline_tests.queue_fixtures import client_for, new_queues, serving
from pipeline_tests.rest_case import rest
from pipeline_tests.samples import CANARY, USER_LOGINS, eventually
from pipeline_tests.world import World, settings

PROFILE = "[profile loads]\nregion = us-east-1\naws_access_key_id = AKIAPROFILE\n"
ROLE_TAKEN = b"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>
<SecretAccessKey>x</SecretAccessKey><SessionToken>of-the-session</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


@pytest.fixture
def queue(sqs: SQSClient) -> SqsQueue:
    return SqsQueue(sqs, USER_LOGINS, embedded=True)


def some(count: int, **recipe: Any) -> list[Event]:  # noqa: ANN401 - as `Recipe` takes them
    return list(generate(USER_LOGINS, Recipe(count=count, random_seed=1, **recipe)))


def test_sqs_has_what_is_claimed_and_each_call_is_counted(queue: SqsQueue) -> None:
    outlet = CountedOutlet(queue)
    assert SqsWay(outlet).send(some(10)) == Outcome(sent=10)
    assert (queue.depth().visible, outlet.calls) == (10, 1)


def test_what_sqs_refuses_in_part_is_tried_again_and_owned_up_to(
    queue: SqsQueue, sqs: SQSClient
) -> None:
    """Fault 75."""
    failed = [
        {"Id": "0", "SenderFault": True, "Code": "InvalidMessageContents"},
        {"Id": "1", "SenderFault": False, "Code": "ServiceUnavailable"},
    ]
    passed = [{"Id": "2", "MessageId": "m", "MD5OfMessageBody": ""}]
    outlet = CountedOutlet(queue)
    with answered(sqs, "SendMessageBatch", {"Successful": passed, "Failed": failed}):
        outcome = SqsWay(outlet).send(some(3))
    assert outcome == Outcome(sent=2, refused=1, why=Counter(SenderFault=1))
    assert (queue.depth().visible, outlet.calls) == (1, 2)


def test_through_the_service_what_breaks_the_contract_is_refused(sqs: SQSClient) -> None:
    senders = load_senders(
        json.dumps({"senders": {"load": {"feeds": ["*"], "keys": [digest_of("sk_load")]}}}),
        None,
        [USER_LOGINS.name],
    )
    with rest(sqs, senders=senders) as service, RestClient(service.url, "sk_load") as client:
        way = RestWay(client, USER_LOGINS.name)
        sound, broken = some(1), some(1, malformed={Reason.NOT_JSON: 1.0})
        assert way.send(sound) == way.send(sound) == Outcome(sent=1)
        assert way.send(broken).why.keys() <= {"HTTP 400", "HTTP 422"}
        assert way.send(broken).refused == 1
        # To the service, a list is a batch.
        assert way.send(some(1, malformed={Reason.NOT_AN_OBJECT: 1.0})) == Outcome(sent=1)
        (event,) = sound
        with RestClient(service.url, CANARY) as stranger:
            assert str(stranger.post(USER_LOGINS.name, event)) == "HTTP 401"
        messages = SqsQueue(sqs, USER_LOGINS, embedded=True).receive(10)
    assert len(messages) == 3
    assert messages[0].event_id == messages[1].event_id == f"rest:load:{event.event_id}"


class Says:
    """An HTTP service that gives the same answers again and again."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        self._answers = itertools.cycle(answers)
        self.bodies: list[bytes] = []

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        self.bodies.append((await receive())["body"])
        status, headers, body = next(self._answers)
        named = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": body})


@contextmanager
def saying(*answers: tuple[int, dict[str, str], bytes]) -> Iterator[tuple[RestWay, Says]]:
    with served(app := Says(*answers)) as url, RestClient(url, None) as client:
        yield RestWay(client, "user_logins"), app


def served(app: Says) -> contextlib.AbstractContextManager[str]:
    return serving(uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None)))


def test_a_service_that_is_busy_is_asked_again() -> None:
    busy = (503, {"Retry-After": "0"}, b"")
    taken = b'{"event_id": "e", "message_id": "m"}'
    with saying((429, {}, b""), busy, (202, {}, taken)) as (way, app):
        assert way.send([Event("e", "{}")]) == Outcome(sent=1)
        assert len(app.bodies) == 3


@pytest.mark.parametrize(
    ("answer", "outcome", "requests"),
    [
        ((503, {"Retry-After": "0"}, b""), Outcome(failed=1, why=Counter({"HTTP 503": 1})), 5),
        ((401, {}, b""), Outcome(failed=1, why=Counter({"HTTP 401": 1})), 1),
        ((302, {"Location": "/"}, b""), Outcome(failed=1, why=Counter({"HTTP 302": 1})), 1),
        ((202, {}, b"<html>"), Outcome(failed=1, why=Counter({"HTTP 202": 1})), 1),
        ((202, {}, b"[]"), Outcome(failed=1, why=Counter({"HTTP 202": 1})), 1),
    ],
)
def test_only_an_answer_that_names_a_message_counts_as_sent(
    answer: tuple[int, dict[str, str], bytes], outcome: Outcome, requests: int
) -> None:
    """And no redirect is followed."""
    with saying(answer) as (way, app):
        assert way.send([Event("e", "{}")]) == outcome
        assert len(app.bodies) == requests


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("events.example.org", None),
        ("ftp://events.example.org", None),
        (f"https://user:{CANARY}@events.example.org", None),
        (f"https://[{CANARY}", None),
        ("https://events.example.org", f"{CANARY}\n"),
    ],
)
def test_an_address_or_key_that_cannot_be_used_is_not_repeated(url: str, key: str | None) -> None:
    with pytest.raises(SettingsError) as caught:
        RestClient(url, key)
    assert CANARY not in str(caught.value)


def test_the_command_sends_and_writes_a_report(world: World, tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    arguments = ["--shape", "burst", "--burst", "20", "--rate", "100/s", "--count", "50"]
    done = pipeline(
        world.environment, "produce", "user_logins", *arguments, "--report", str(report)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "sent 50 of 50 due" in done.stdout
    assert world.depth() == (50, 0)
    told = json.loads(report.read_text())
    assert (told["due"], told["sent"], told["unsent"], told["why"]) == (50, 50, 0, {})
    assert told["sqs_calls"] == world.app.calls["SendMessageBatch"] == 5
    assert told["sqs_calls_per_message"] == 0.1
    assert 100 == told["asked_per_second"] >= told["reached_per_second"] > 0
    assert told["latency_ms"]["p50"] <= told["latency_ms"]["p99"] <= told["latency_ms"]["max"]


def test_told_to_stop_the_command_reports_what_it_has_sent(world: World, tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    with subprocess.Popen(
        [str(PIPELINE), "produce", "user_logins", "--rate", "100/s", "--report", str(report)],
        env=dict(world.environment),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        eventually(lambda: world.depth()[0] > 10, patience=60)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    told = json.loads(report.read_text())
    assert told["sent"] == world.depth()[0]
    assert told["due"] == told["sent"] + told["unsent"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--shape", "ramp", "--to", "9/s"], "E_TRAFFIC"),
        (["--burst", "9"], "E_TRAFFIC"),
        (["--duplicates", "2"], "E_SEED"),
        (["--report", "/missing/figures.json"], "E_TRAFFIC"),
        (["--report", "/"], "E_TRAFFIC"),
        (["--through", "nowhere"], "E_SETTINGS"),
    ],
)
def test_what_cannot_be_done_is_one_line(world: World, arguments: list[str], code: str) -> None:
    assert fails(world.environment, "produce", "user_logins", *arguments)[0] == code
    assert world.depth() == (0, 0)


class SigningApp(QueueApp):
    """The embedded queue, which notes who signs: the access key, and the session's token."""

    def __init__(self) -> None:
        super().__init__(new_queues())
        self.signers: set[tuple[str, str]] = set()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        headers = {name: value.decode() for name, value in scope["headers"]}
        signed = headers[b"authorization"].partition("Credential=")[2].partition("/")[0]
        self.signers.add((signed, headers.get(b"x-amz-security-token", "")))
        await super().__call__(scope, receive, send)


@contextmanager
def signing(folder: Path, aws: boto3.Session) -> Iterator[tuple[SigningApp, dict[str, str]]]:
    """A queue that notes who signs, and an environment without credentials that leads there."""
    with serving(QueueServer(app := SigningApp())) as url:
        client_for(url, aws).create_queue(QueueName="login-queue")
        app.signers.clear()
        environment = settings(url, "postgresql://nobody@127.0.0.1:1/nothing", folder)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            del environment[name]
        yield app, environment


def sends(environment: dict[str, str]) -> None:
    done = pipeline(environment, "produce", "user_logins", "--count", "1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_profile_of_the_shared_files_is_used(tmp_path: Path, aws_session: boto3.Session) -> None:
    (tmp_path / "config").write_text(f"{PROFILE}aws_secret_access_key = x\n")
    with signing(tmp_path, aws_session) as (app, environment):
        sends(environment | {"AWS_PROFILE": "loads", "AWS_CONFIG_FILE": str(tmp_path / "config")})
        assert app.signers == {("AKIAPROFILE", "")}


def test_a_web_identity_takes_on_its_role(tmp_path: Path, aws_session: boto3.Session) -> None:
    """As in Kubernetes, where a service account's token stands in a file."""
    (tmp_path / "token").write_text("a.b.c")
    sts = Says((200, {"Content-Type": "text/xml"}, ROLE_TAKEN))
    with signing(tmp_path, aws_session) as (app, environment), served(sts) as url:
        role = {
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/producer",
            "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "token"),
            "AWS_ENDPOINT_URL_STS": url,
        }
        sends(environment | role)
        assert app.signers == {("ASIAROLE", "of-the-session")}
    (asked,) = sts.bodies
    assert b"Action=AssumeRoleWithWebIdentity" in asked
    assert b"WebIdentityToken=a.b.c" in asked
