"""Neither the REST service nor what it leads to keeps or repeats a value that was sent to it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import dagster as dg
import httpx
import pytest
from mypy_boto3_sqs import SQSClient

from pipeline.definitions import defs
from pipeline.feeds import find
from pipeline.warehouse.migrate import migrate
from pipeline_tests.canaries import Canaries, found_in
from pipeline_tests.privacy_case import SOUND, Traces, bodies, outcome, pg_dump
from pipeline_tests.rest_case import rest
from pipeline_tests.world import World

PIPELINE: Final = Path(sys.executable).with_name("pipeline")
LOGINS: Final = "/v1/feeds/user_logins/messages"
JSON: Final = {"content-type": "application/json"}


@dataclass
class Caller:
    """Somebody who sends, and remembers every byte that was answered.

    Attributes:
        http: A client of the service.
        heard: What came back, heads and bodies.
        statuses: With what.
    """

    http: httpx.Client
    heard: bytes = b""
    statuses: set[int] = field(default_factory=set)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        given = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.http.request(method, path, content=body, headers=given)
        self.heard += repr(answer.headers.raw).encode() + answer.content
        self.statuses.add(answer.status_code)


@pytest.fixture
def caller(world: World, traces: Traces) -> Iterator[Caller]:
    """A caller of `pipeline serve`, which keeps what it must in Postgres."""
    migrate(world.postgres_url, [find("user_logins")])
    more = {"TMPDIR": str(traces.temporary), "PIPELINE_SERVE_IDEMPOTENCY": "postgres"}
    with (
        (traces.temporary / "lines").open("wb") as lines,
        subprocess.Popen(
            [str(PIPELINE), "serve", "--port", "0"],
            env={**world.environment, **more},
            cwd=traces.temporary,
            stdout=lines,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stderr
        try:
            told = process.stderr.readline().decode()
            url = told.rpartition(" ")[2].strip()
            with httpx.Client(base_url=url, timeout=30) as http:
                yield Caller(http)
        finally:
            process.terminate()
            traces.said["the service's errors"] = told.encode() + process.stderr.read()
    assert process.returncode == 0


def test_the_way_over_http_leaves_no_value_behind(
    world: World,
    canaries: Canaries,
    caller: Caller,
    traces: Traces,
    instance: dg.DagsterInstance,
) -> None:
    """Invariant 4: sound and broken records, alone and together, in every place of a request."""
    sent = [body.encode(errors="surrogatepass") for body in bodies(canaries)]
    for place, body in enumerate(sent):
        caller.ask("POST", LOGINS, body, idempotency_key=f"the-key-of-request-{place:04}")
    sound = b"[" + b",".join(sent[:SOUND]) + b"]"
    mixed = json.dumps([json.loads(body) for body in sent if _is_json(body)]).encode()
    # A key that is itself a person's is not kept either.
    for place, body in enumerate((sound, mixed, sent[0] + sent[1], sent[0][:-9])):
        key = f"{canaries.device(1).split()[1]}-{place}"
        caller.ask("POST", LOGINS, body, idempotency_key=key)
    word, address = canaries.device(2).split()[1], canaries.address(3)
    for path in (f"/{word}", f"/v1/feeds/{word}", f"{LOGINS}?q={address}", f"/v1/feeds/{address}"):
        caller.ask("GET", path)
        caller.ask("POST", path, sent[0])
    for name in ("idempotency_key", "event_id", "authorization", "x_request_id", "traceparent"):
        caller.ask("POST", LOGINS, sent[0], **{name: f"{word} {address} {word}"})
        caller.ask("POST", LOGINS, sent[0], **{name: f"Bearer {address}"})
    caller.ask("POST", LOGINS, sent[0], content_type=f"text/{word}")
    caller.ask("POST", LOGINS, sent[0], content_encoding=word)
    caller.ask("BREW", LOGINS, sent[0])
    for path in ("/metrics", "/openapi.json", "/readyz", "/v1/feeds/user_logins"):
        caller.ask("GET", path)
    assert caller.statuses >= {200, 202, 207, 400, 404, 405, 415, 422}

    assert outcome(defs(), world, instance) == ""
    rows = world.query("SELECT count(*) FROM user_logins")
    assert rows[0][0] >= SOUND

    traces.said["answers"] = caller.heard
    masked, users = canaries.masked_needles(), canaries.user_needles()
    assert traces.find(masked | users) == {}
    assert traces.find_stored(masked) == {}
    assert found_in(pg_dump(world.postgres_url), users)  # so the search does see what is there
    kept = world.query("SELECT count(*) FROM pipeline.idempotency")
    assert kept[0][0] >= SOUND
    assert b'"outcome"' in (traces.temporary / "lines").read_bytes()


def test_a_line_of_the_log_tells_the_route_and_never_the_path(
    sqs: SQSClient, canaries: Canaries, capsys: pytest.CaptureFixture[str]
) -> None:
    word = canaries.device(1).split()[1]
    paths = (f"/{word}", f"/v1/feeds/{word}/messages", f"{LOGINS}/{word}", f"{LOGINS}?q={word}")
    with rest(sqs) as running:
        for path in paths:
            running.post({}, path)
    told = capsys.readouterr().out
    routes = [json.loads(line)["route"] for line in told.splitlines()]
    assert routes == ["unknown", "unknown", "unknown", LOGINS]
    assert word not in told


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True
