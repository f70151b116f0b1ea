"""Lines of the log as JSON: one mechanism, ids that join them, and never a value."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from pipeline import log_ids, log_lines
from pipeline.cli_traffic import write_json
from pipeline.consume.held import Held
from pipeline.errors import QueueError
from pipeline.messages import Message, Refusals
from pipeline.operate.consume_service import Line
from pipeline.produce.rest.exchange import Exchange
from pipeline_tests.canaries import Canaries, found_in
from pipeline_tests.cli_case import alone, fails, pipeline, process, succeeds
from pipeline_tests.held_case import QUICK, blank
from pipeline_tests.outside_world import StandInQueue
from pipeline_tests.privacy_case import bodies
from pipeline_tests.rest_case import rest
from pipeline_tests.samples import USER_LOGINS, eventually, login
from pipeline_tests.world import World

ASK: Final = {log_lines.SETTING: "json"}
SPEAKS: Final = """
import logging, os
from concurrent.futures import ThreadPoolExecutor
from pipeline import log_ids, log_lines

log_lines.install(os.environ)
log_lines.install(os.environ)
log = logging.getLogger("pipeline.consume.held")
with log_ids.bound(feed="orders", run_id="run-1", request_id=None), log_ids.bound(batch="b-1"):
    with ThreadPoolExecutor(1, initializer=log_ids.adopt, initargs=(log_ids.current(),)) as pool:
        pool.submit(log.info, "of %s\\nand more", "ann@example.org")
try:
    raise ValueError("canary-7f3a91 of ann@example.org")
except ValueError:
    logging.getLogger("other").exception("failed")
logging.getLogger("other").info("beneath the level of others")
logging.getLogger("dagster.daemon").error("has a format of its own")
"""


@pytest.fixture
def json_asked_for(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process asks for JSON; its loggers are afterwards as they were."""
    monkeypatch.setenv(log_lines.SETTING, "json")
    root, ours = logging.getLogger(), logging.getLogger("pipeline")
    handlers, level = list(root.handlers), ours.level
    yield
    for each in set(root.handlers) - set(handlers):
        root.removeHandler(each)
    ours.setLevel(level)


def told(text: str) -> list[dict[str, Any]]:
    """The lines that are JSON."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_line_names_what_joins_it_to_others() -> None:
    with log_ids.bound(feed="orders", run_id="run-1", batch=None):
        line = json.loads(log_lines.line("done", logger="a.b", at=1.5, told={"n": 1, "no": None}))
    assert line == {
        "at": "1970-01-01T00:00:01.500+00:00",
        "level": "INFO",
        "logger": "a.b",
        "text": "done",
        "feed": "orders",
        "run_id": "run-1",
        "n": 1,
    }
    assert log_ids.current() == {}


def test_nothing_breaks_out_of_its_line() -> None:
    line = log_lines.line("a\nb\r\u2028\x1b[31m\u0085é", logger="x")
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["text"] == "a\nb\r\u2028\x1b[31m\u0085é"


def test_loggers_write_json_once_with_their_ids_and_without_values() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SPEAKS],
        env=ASK,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = map(json.loads, done.stderr.splitlines())
    assert first["text"] == "of [email]\nand more"
    assert (first["logger"], first["level"]) == ("pipeline.consume.held", "INFO")
    assert (first["feed"], first["run_id"], first["batch"]) == ("orders", "run-1", "b-1")
    assert (second["logger"], second["level"], second["text"]) == ("other", "ERROR", "failed")
    assert second["error"].startswith("ValueError (its text is withheld)")
    assert "canary" not in done.stderr


def test_a_command_says_in_json_why_it_ends(tmp_path: Path) -> None:
    done = process(alone(tmp_path / "local") | ASK, "seed", "no_such_feed")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = map(json.loads, done.stderr.splitlines())
    assert (line["logger"], line["level"]) == ("pipeline.cli", "ERROR")
    assert line["code"].startswith("E_")


def test_another_format_is_refused(tmp_path: Path) -> None:
    environment = alone(tmp_path / "local") | {log_lines.SETTING: "xml"}
    code, text = fails(environment, "status")
    assert code == "E_SETTINGS"
    assert log_lines.SETTING in text


def test_the_consumer_writes_the_same_lines(capsys: pytest.CaptureFixture[str]) -> None:
    write_json(Line("orders", "trouble", "no queue", {}, "run-1"))
    (line,) = told(capsys.readouterr().out)
    assert line | {"at": ""} == {
        "at": "",
        "level": "ERROR",
        "logger": "pipeline.consume",
        "text": "no queue",
        "feed": "orders",
        "run_id": "run-1",
        "event": "trouble",
    }


def test_a_request_names_every_message_in_lines_of_a_bounded_length(
    capsys: pytest.CaptureFixture[str],
) -> None:
    exchange = Exchange("request-1", feed="orders", records=250)
    exchange.draws = True
    exchange.sent({f"{place:036}": f"rest:{'a' * 64}:{place:040}" for place in range(250)})
    exchange.tell("POST", "/v1/feeds/orders/messages")
    written = capsys.readouterr().out
    lines = told(written)
    assert max(map(len, written.splitlines())) < 9_000
    assert {each["request_id"] for each in lines} == {"request-1"}
    assert sum(len(each["message_ids"]) for each in lines) == 250
    assert sum(len(each["event_ids"]) for each in lines) == 250
    assert ["outcome" in each for each in lines] == [False] * 4 + [True]


@pytest.mark.usefixtures("json_asked_for")
def test_the_lines_of_a_run_lead_to_its_account_and_hold_no_value(
    world: World, canaries: Canaries, capfd: pytest.CaptureFixture[str]
) -> None:
    world.send([body for body in bodies(canaries) if body.isprintable()])
    with world.app.gate("DeleteMessageBatch", 1) as gate:
        world.app.let_fail(gate)
        world.ingest()
    written = capfd.readouterr().err
    ((run, batch, received),) = world.query(
        "SELECT run_id, batch_id::text, received FROM pipeline.account"
    )
    (committed,) = [each for each in told(written) if each["text"].startswith("committed")]
    assert committed["text"].startswith(f"committed: received {received} = ")
    assert (committed["run_id"], committed["batch"]) == (run, batch)
    assert (committed["feed"], committed["logger"]) == ("user_logins", "pipeline.runs")
    # What the core logs, in whatever thread, has the ids of its batch as well.
    (refused,) = [each for each in told(written) if each["text"].startswith("acknowledging:")]
    assert (refused["logger"], refused["level"]) == ("pipeline.consume.held", "WARNING")
    assert (refused["run_id"], refused["batch"]) == (run, batch)
    needles = canaries.masked_needles() | canaries.user_needles()
    assert found_in(written.encode(), needles) == []


def test_the_ids_of_a_requests_line_lead_to_the_ledger_and_the_run(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with rest(world.sqs, served=(USER_LOGINS,), embedded=False) as service:
        service.post(login(), headers={"x-request-id": "of-the-caller"})
        service.post(login(), headers={"event-id": "chosen-by-the-caller"})
        service.http.get("/healthz")
    drawn, chosen = [each for each in told(capsys.readouterr().out) if each.get("message_ids")]
    assert drawn["request_id"] == "of-the-caller"
    assert "event_ids" not in chosen
    world.send(["{"])
    world.ingest()
    ((run, batch),) = world.query("SELECT run_id, batch_id::text FROM pipeline.account")
    ((message,),) = world.query("SELECT message_id FROM pipeline.quarantine")
    where = {"run_id": run, "batch": batch}

    def found(*by: str) -> dict[str, Any]:
        (each,) = json.loads(succeeds(world.environment, "find", "user_logins", *by, "--json"))
        return dict(each)

    assert found("--event", drawn["event_ids"][0]).items() >= ({"state": "settled"} | where).items()
    assert found("--event", "rest:local:chosen-by-the-caller").items() >= where.items()
    bad = found("--message", message)
    assert bad.items() >= ({"state": "quarantined", "reason": "not_json"} | where).items()
    for given in (("--event", "another"), ("--message", drawn["message_ids"][0])):
        done = pipeline(world.environment, "find", "user_logins", *given)
        assert (done.returncode, done.stdout) == (1, "")
    assert fails(world.environment, "find", "user_logins")[0] == "E_SETTINGS"


def test_what_threads_of_a_run_log_has_its_ids() -> None:
    """The pool that gives messages back, and the heartbeat."""
    seen: dict[str, str | None] = {}

    def refuse(_messages: Sequence[Message]) -> Refusals[Message]:
        seen[threading.current_thread().name] = log_ids.current().get("run_id")
        raise QueueError("SQS refused", remedy="none")

    with log_ids.bound(run_id="run-1"):
        held = Held(StandInQueue(hide=refuse), QUICK)
        held.add(blank(1))
    eventually(lambda: "heartbeat" in seen)
    with log_ids.bound(run_id="run-1"):
        held.release()
    assert len(seen) == 2
    assert set(seen.values()) == {"run-1"}
