"""The sensor and the command of alerts, as they are deployed: on SQLite and on Postgres."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pipeline.cli import app
from pipeline.definitions import defs
from pipeline.errors import SettingsError
from pipeline_tests.alert_case import Instigator, healthy, run, unreachable
from pipeline_tests.alert_servers import SECRET, Taken, mail_server, webhook

PREFIX = "PIPELINE_ALERT_"


@pytest.fixture(autouse=True)
def _no_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set on this machine is of no matter."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.setitem(healthy, "on", value=False)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Taken]:
    with webhook() as taken:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK_URL", taken.url)
        yield taken


class Sensor:
    """The deployed sensor, ticked by hand; the cursor travels from tick to tick."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance
        self._sensor = defs().resolve_sensor_def("alerts")
        self.cursor: str | None = None

    def tick(self) -> str:
        with dg.build_sensor_context(instance=self._instance, cursor=self.cursor) as context:
            tick = self._sensor.evaluate_tick(context)
        assert not tick.run_requests
        self.cursor = tick.cursor or self.cursor
        return tick.skip_message or ""


@pytest.fixture(params=["sqlite", "postgres"])
def instance(
    request: pytest.FixtureRequest, warehouse_url: str, home: Path
) -> Iterator[dg.DagsterInstance]:
    """A real instance with both kinds of storage."""
    overrides: dict[str, object] = {"telemetry": {"enabled": False}}
    if request.param == "postgres":
        overrides["storage"] = {"postgres": {"postgres_url": warehouse_url}}
    with dg.DagsterInstance.local_temp(str(home), overrides=overrides) as instance:
        yield instance


def test_it_tells_of_what_fails_from_its_first_tick_on(
    instance: dg.DagsterInstance, hook: Taken
) -> None:
    sensor = Sensor(instance)
    run(instance, "ingest_orders")
    assert sensor.tick() == "webhook: told 0"
    run(instance, "ingest_user_logins")
    run(instance, "checked")
    assert sensor.tick() == "webhook: told 2"
    assert hook.titles() == ["new E_WAREHOUSE_UNAVAILABLE 1", "new account_adds_up 1"]
    assert SECRET not in (sensor.cursor or "")
    assert sensor.tick() == "webhook: told 0"


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_it_tells_of_the_ticks_of_other_sensors_too(
    instance: dg.DagsterInstance, hook: Taken
) -> None:
    sensor = Sensor(instance)
    sensor.tick()
    began = time.time()
    Instigator(instance).tick(began, time.time(), unreachable())
    assert sensor.tick() == "webhook: told 1"
    assert hook.titles() == ["new E_QUEUE_UNREACHABLE 1"]


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_it_tells_of_checks_that_only_warn_where_that_is_set(
    instance: dg.DagsterInstance, hook: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}WARNINGS", "1")
    sensor = Sensor(instance)
    sensor.tick()
    run(instance, "checked")
    assert sensor.tick() == "webhook: told 2"
    assert sorted(hook.titles()) == ["new account_adds_up 1", "new only_warns 1"]


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_one_channel_that_is_dead_keeps_no_other_waiting(
    instance: dg.DagsterInstance, hook: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has got as far as it has got, over ticks and restarts."""
    with mail_server() as box, webhook() as slack:
        monkeypatch.setenv(f"{PREFIX}SLACK_URL", slack.url)
        monkeypatch.setenv(f"{PREFIX}SMTP_URL", f"smtp+plain://127.0.0.1:{box.port}")
        monkeypatch.setenv(f"{PREFIX}EMAIL_FROM", "pipeline@example.org")
        monkeypatch.setenv(f"{PREFIX}EMAIL_TO", "ops@example.org")
        sensor = Sensor(instance)
        sensor.tick()
        slack.status = 500
        run(instance, "ingest_user_logins")
        assert sensor.tick() == (
            "webhook: told 1; slack: told 0; slack took no alert (HTTP 500), try 1 of 10;"
            " e-mail: told 1"
        )
        slack.status = 200
        run(instance, "ingest_orders")
        assert sensor.tick().startswith("webhook: told 1; slack: refused 1 of 10 times")
        assert len(box.letters) == 2

        # Another process, half a minute later.
        states = json.loads(sensor.cursor or "")
        states["slack"]["next_try"] -= 30
        sensor.cursor = json.dumps(states)
        assert sensor.tick() == "webhook: told 0; slack: told 2; e-mail: told 0"
    assert len(hook.bodies) == 2


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_without_a_channel_it_does_nothing_and_one_that_is_set_later_begins_then(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = Sensor(instance)
    run(instance, "ingest_orders")
    assert sensor.tick() == "no channel is set: docs/alerts.md"
    with webhook() as taken:
        monkeypatch.setenv(f"{PREFIX}WEBHOOK_URL", taken.url)
        assert sensor.tick() == "webhook: told 0"
        sensor.cursor = "not JSON"
        assert sensor.tick() == "webhook: told 0"
        sensor.cursor = '{"webhook": {"positions": {}}}'
        assert sensor.tick() == "webhook: told 0"


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_a_setting_that_cannot_be_used_is_the_ticks_error(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}WEBHOOK_URL", f"ftp://{SECRET}")
    with pytest.raises(SettingsError, match="PIPELINE_ALERT_WEBHOOK_URL is no address") as caught:
        Sensor(instance).tick()
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_one_setting_that_is_wrong_silences_only_its_own_channel(
    instance: dg.DagsterInstance, hook: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = Sensor(instance)
    with webhook() as slack:
        monkeypatch.setenv(f"{PREFIX}SLACK_URL", slack.url)
        sensor.tick()
        monkeypatch.setenv(f"{PREFIX}SLACK_URL", f"ftp://{SECRET}")
        run(instance, "ingest_user_logins")
        assert sensor.tick() == (
            "webhook: told 2; set wrongly: PIPELINE_ALERT_SLACK_URL is no address that can be used"
        )
        told = hook.bodies[-1]
        assert (told["code"], told["place"]) == ("E_SETTINGS", "the settings of alerts")
        assert told["what"] == "PIPELINE_ALERT_SLACK_URL is no address that can be used"
        assert sensor.tick().startswith("webhook: told 0; set wrongly")
        # What failed meanwhile is told where the setting is mended.
        monkeypatch.setenv(f"{PREFIX}SLACK_URL", slack.url)
        assert sensor.tick() == "webhook: told 0; slack: told 1"
    assert SECRET not in (sensor.cursor or "") + str(hook.bodies)


@pytest.mark.parametrize("instance", ["sqlite"], indirect=True)
def test_what_fails_while_no_channel_is_set_is_told_to_none_later(
    instance: dg.DagsterInstance, hook: Taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    sensor = Sensor(instance)
    sensor.tick()
    monkeypatch.delenv(f"{PREFIX}WEBHOOK_URL")
    sensor.tick()
    run(instance, "ingest_user_logins")
    monkeypatch.setenv(f"{PREFIX}WEBHOOK_URL", hook.url)
    assert sensor.tick() == "webhook: told 0"


class TestCommand:
    """`pipeline alert`."""

    def test_it_tries_each_channel_and_shows_no_address(
        self, hook: Taken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with mail_server() as box:
            monkeypatch.setenv(f"{PREFIX}SMTP_URL", f"smtp+plain://127.0.0.1:{box.port}")
            monkeypatch.setenv(f"{PREFIX}EMAIL_FROM", "pipeline@example.org")
            monkeypatch.setenv(f"{PREFIX}EMAIL_TO", "ops@example.org")
            app(["alert", "--test"], standalone_mode=False)
        out, err = capsys.readouterr()
        assert out.splitlines() == ["webhook: took a test alert", "e-mail: took a test alert"]
        assert err == ""
        assert hook.titles() == ["test E_TEST 1"]
        assert len(box.letters) == 1

    def test_one_that_takes_nothing_is_told_and_the_others_are_tried(
        self, hook: Taken, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        hook.status = 404
        with webhook() as slack:
            monkeypatch.setenv(f"{PREFIX}SLACK_URL", slack.url)
            assert app(["alert", "--test"], standalone_mode=False) == 1
        out, err = capsys.readouterr()
        assert out == "slack: took a test alert\n"
        assert err.startswith("E_ALERT: webhook took no alert (HTTP 404). Check its setting")
        assert SECRET not in out + err

    def test_without_test_nothing_is_sent(
        self, hook: Taken, capsys: pytest.CaptureFixture[str]
    ) -> None:
        app(["alert"], standalone_mode=False)
        assert capsys.readouterr().out == "webhook: is set\n"
        assert hook.bodies == []

    def test_where_no_channel_is_set_it_says_so(self) -> None:
        with pytest.raises(SettingsError, match="no channel is set"):
            app(["alert", "--test"], standalone_mode=False)
