"""What failed in a real instance is told once, in words that hold no value, and is never lost."""

import json
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import JobFailureData, RunFailureReason
from dagster._core.utils import make_new_run_id

from pipeline.operate.alerts.channels import Webhook
from pipeline.operate.alerts.failures import Checks, Kind, Runs, Scene
from pipeline.operate.alerts.settings import Settings
from pipeline.operate.alerts.state import State
from pipeline.operate.alerts.telling import TRIES, Turn
from pipeline.operate.alerts.ticks import Ticks
from pipeline_tests.alert_case import Instigator, healthy, run, unreachable
from pipeline_tests.alert_servers import Taken, webhook
from pipeline_tests.samples import CANARY

FEEDS = ("user_logins", "messages", "pokemon")
HOUR = 3_600.0


class Desk:
    """A webhook that is told what fails, tick by tick."""

    def __init__(self, instance: dg.DagsterInstance, taken: Taken) -> None:
        self.instance, self.taken = instance, taken
        self.scene = Scene(instance, "pipeline", FEEDS)
        self.kinds: dict[str, Kind] = {
            "runs": Runs(self.scene),
            "checks": Checks(self.scene, warnings=False),
            "ticks": Ticks(self.scene),
        }
        self.state = State({name: kind.newest() for name, kind in self.kinds.items()})
        self.lost: list[str] = []

    def looked_ago(self, seconds: float) -> float:
        """Makes the last look at ticks one of so long ago; when that was."""
        self.state.positions["ticks"] -= seconds
        return self.state.positions["ticks"]

    def tick(self, at: float = 0.0, *, seconds: float = 10.0) -> str:
        """One tick, so many seconds after the start of the test; what it says."""
        web_url = "https://dagster.example.org"
        channel = Webhook(self.taken.url)
        turn = Turn(
            channel,
            self.state,
            self.kinds,
            Settings((channel,), warnings=False, web_url=web_url),
            now=1_800_000_000.0 + at,
            until=time.monotonic() + seconds,
        )
        said = turn.work()
        self.lost += [alert.code for alert in turn.lost]
        return said


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One for all tests: to make one takes longer than most of them. Each begins at its end."""
    home = str(tmp_path_factory.mktemp("dagster"))
    with dg.DagsterInstance.local_temp(home, overrides={"telemetry": {"enabled": False}}) as made:
        yield made


@pytest.fixture
def desk(storage: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    fail_again(monkeypatch)
    with webhook() as taken:
        yield Desk(storage, taken)


def fail_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(healthy, "on", value=False)


def fail_outside(desk: Desk, job: str, message: str, data: JobFailureData | None = None) -> None:
    """A run that the daemon ends, with a message and perhaps a reason."""
    made = desk.instance.add_run(dg.DagsterRun(job, make_new_run_id()))
    desk.instance.report_run_failed(made, message, data)


def alerts(desk: Desk) -> dict[str, dict[str, Any]]:
    """What the webhook was told, by code."""
    return {each["code"]: each for each in desk.taken.bodies}


def test_a_failed_run_is_told_with_what_where_and_what_to_do(desk: Desk) -> None:
    run_id = run(desk.instance, "ingest_user_logins")

    assert desk.tick() == "webhook: told 1"

    (told,) = desk.taken.bodies
    assert {**told, "at": "", "id": len(told["id"])} == {
        "id": 16,
        "standing": "new",
        "code": "E_WAREHOUSE_UNAVAILABLE",
        "feed": "user_logins",
        "place": "job ingest_user_logins, step load_user_logins",
        "what": "the warehouse is not available (SQLSTATE 53300) (feed 'user_logins')",
        "to_do": "Nothing is lost. Check that Postgres is up",
        "at": "",
        "count": 1,
        "run_id": run_id,
        "link": f"https://dagster.example.org/runs/{run_id}",
    }
    assert desk.tick() == "webhook: told 0"


def test_of_a_foreign_error_only_its_type_is_told(desk: Desk) -> None:
    """Even where its text looks like one of ours."""
    run(desk.instance, "ingest_pokemon")
    desk.tick()
    (told,) = desk.taken.bodies
    assert (told["code"], told["feed"], told["what"]) == ("E_UNEXPECTED", "pokemon", "ValueError")
    assert CANARY not in json.dumps(desk.taken.bodies)


def test_a_run_whose_process_is_gone_is_told(desk: Desk) -> None:
    """As run monitoring ends it: there is no step, and no error of ours."""
    fail_outside(desk, "ingest_messages", CANARY)
    desk.tick()
    (told,) = desk.taken.bodies
    assert (told["code"], told["feed"]) == ("E_UNEXPECTED", "messages")
    assert told["place"] == "job ingest_messages"
    assert told["what"].startswith("the run ended from outside: its process is gone")
    assert "Look at memory and restarts" in told["to_do"]
    assert CANARY not in json.dumps(desk.taken.bodies)


def test_a_run_that_is_ended_for_its_time_is_told_as_that(desk: Desk) -> None:
    late = JobFailureData(error=None, failure_reason=RunFailureReason.START_TIMEOUT)
    fail_outside(desk, "ingest_messages", "Exceeded maximum runtime of 900 seconds.")
    fail_outside(desk, "ingest_pokemon", CANARY, late)
    desk.tick()
    too_long, no_start = desk.taken.bodies
    assert too_long["what"] == "the run took longer than it may, and Dagster ended it"
    assert "max_runtime" in too_long["to_do"]
    assert no_start["what"] == "the run did not start in time"
    assert no_start["to_do"].startswith("Nothing was received. Look at the code server")


def test_a_check_that_fails_is_told_and_one_that_warns_only_where_that_is_set(desk: Desk) -> None:
    run(desk.instance, "checked")
    desk.tick()
    (told,) = desk.taken.bodies
    assert (told["code"], told["feed"], told["place"]) == (
        "account_adds_up",
        "user_logins",
        "asset user_logins",
    )
    assert told["what"] == "received 3; loaded 2, seen by [email]"

    position = desk.state.positions["checks"] - 100
    found, _ = Checks(desk.scene, warnings=True).after(position, 9)
    assert [each.alert.code for each in found] == ["account_adds_up", "only_warns"]


def test_a_tick_that_fails_is_told_once_it_has_ended(desk: Desk) -> None:
    """Also one that began before the look at which it had not ended yet."""
    sensor, now = Instigator(desk.instance), desk.looked_ago(100)
    sensor.tick(now - 30, now - 20, unreachable())
    sensor.tick(now - 10, now + 5, unreachable())

    desk.tick()
    desk.tick()

    (told,) = desk.taken.bodies
    assert (told["code"], told["feed"]) == ("E_QUEUE_UNREACHABLE", "user_logins")
    assert (told["place"], told["run_id"]) == ("sensor user_logins_sensor", None)
    (repeat,) = desk.state.repeats.values()
    assert not desk.kinds["ticks"].is_over(repeat.subject)
    sensor.tick(now + 10, now + 11)
    assert desk.kinds["ticks"].is_over(repeat.subject)


def test_what_another_code_location_does_is_its_own_business(desk: Desk) -> None:
    now = desk.looked_ago(1)
    Instigator(desk.instance, "another").tick(now, now + 0.5, unreachable())
    assert desk.tick() == "webhook: told 0"


def test_the_same_failure_is_told_once_an_hour_and_then_counted(desk: Desk) -> None:
    for _ in range(3):
        run(desk.instance, "ingest_messages")
    desk.tick(0)
    last = run(desk.instance, "ingest_messages")
    desk.tick(HOUR - 1)
    assert desk.taken.titles() == ["new E_WAREHOUSE_UNAVAILABLE 1"]

    desk.tick(HOUR)
    assert desk.taken.titles()[1:] == ["goes on E_WAREHOUSE_UNAVAILABLE 3"]
    assert desk.taken.bodies[-1]["run_id"] == last

    run(desk.instance, "ingest_messages")
    desk.tick(HOUR + 1)
    healthy["on"] = True
    run(desk.instance, "ingest_messages")
    desk.tick(2 * HOUR)
    assert desk.taken.titles()[2:] == ["has ended E_WAREHOUSE_UNAVAILABLE 1"]

    healthy["on"] = False
    run(desk.instance, "ingest_messages")
    desk.tick(2 * HOUR + 1)
    assert desk.taken.titles()[3:] == ["new E_WAREHOUSE_UNAVAILABLE 1"]


def test_a_failure_that_does_not_come_again_is_forgotten_in_silence(desk: Desk) -> None:
    run(desk.instance, "ingest_messages")
    desk.tick(0)
    desk.tick(HOUR)
    assert desk.state.repeats == {}
    assert len(desk.taken.bodies) == 1


def test_failures_of_another_feed_code_or_place_are_told_by_themselves(desk: Desk) -> None:
    for job in ("ingest_user_logins", "ingest_messages", "ingest_orders", "checked"):
        run(desk.instance, job)
    desk.tick()
    assert len(desk.taken.bodies) == 4
    assert alerts(desk)["E_TABLE_MISMATCH"]["feed"] == "orders"


def test_whether_a_run_is_over_is_told_by_the_latest_of_its_own_job(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(desk.instance, "ingest_messages")
    monkeypatch.setitem(healthy, "on", value=True)
    run(desk.instance, "checked")
    assert not desk.kinds["runs"].is_over("ingest_messages")
    run(desk.instance, "ingest_messages")
    run(desk.instance, "ingest_orders")
    assert desk.kinds["runs"].is_over("ingest_messages")


def test_whether_a_check_is_over_is_told_by_its_latest_run(desk: Desk) -> None:
    run(desk.instance, "checked")
    assert not desk.kinds["checks"].is_over("user_logins:account_adds_up")
    healthy["on"] = True
    run(desk.instance, "checked")
    assert desk.kinds["checks"].is_over("user_logins:account_adds_up")


def test_a_dead_webhook_loses_nothing_and_is_not_hammered(desk: Desk) -> None:
    run(desk.instance, "ingest_user_logins")
    run(desk.instance, "ingest_orders")
    desk.taken.status = 503

    assert desk.tick(0) == "webhook: told 0; webhook took no alert (HTTP 503), try 1 of 10"
    assert desk.tick(10) == "webhook: refused 1 of 10 times, trying again in 20 s"
    assert len(desk.taken.bodies) == 1
    desk.tick(30)
    assert len(desk.taken.bodies) == 2
    desk.taken.status = 200
    desk.taken.bodies.clear()

    assert desk.tick(90) == "webhook: told 2"
    assert desk.taken.titles() == ["new E_WAREHOUSE_UNAVAILABLE 1", "new E_TABLE_MISMATCH 1"]


def test_after_many_tries_one_is_given_up_and_that_is_said(desk: Desk) -> None:
    run(desk.instance, "ingest_user_logins")
    run(desk.instance, "ingest_orders")
    desk.taken.status = 500
    at = 0.0
    while not desk.lost:
        desk.tick(at)
        at = desk.state.next_try - 1_800_000_000.0 if not desk.lost else at
    assert desk.lost == ["E_WAREHOUSE_UNAVAILABLE"]
    assert HOUR < at < 2 * HOUR
    assert len(desk.taken.bodies) == TRIES + 1  # the next one was tried at once
    desk.taken.status = 200
    desk.taken.bodies.clear()
    desk.tick(at + 60)
    assert desk.taken.titles() == ["new E_TABLE_MISMATCH 1"]


def test_when_a_tick_has_no_time_left_the_next_one_goes_on(desk: Desk) -> None:
    run(desk.instance, "ingest_user_logins")
    assert desk.tick(seconds=0) == "webhook: told 0, and more at the next tick"
    assert desk.tick() == "webhook: told 1"


def test_a_clock_that_goes_back_silences_nobody(desk: Desk) -> None:
    """Fault 71."""
    run(desk.instance, "ingest_messages")
    desk.taken.status = 500
    desk.tick(100_000)
    desk.taken.status = 200
    assert desk.tick(0) == "webhook: told 1"
    run(desk.instance, "ingest_messages")
    desk.tick(-100_000)
    desk.tick(-100_000 + HOUR)
    assert desk.taken.titles()[-1] == "goes on E_WAREHOUSE_UNAVAILABLE 1"


def test_no_value_is_in_what_is_told_or_kept(desk: Desk) -> None:
    for job in ("ingest_pokemon", "checked"):
        run(desk.instance, job)
    assert desk.tick() == "webhook: told 2"
    kept = repr(desk.state) + json.dumps(desk.taken.bodies)
    assert CANARY not in kept
    assert "ann@example.org" not in kept
