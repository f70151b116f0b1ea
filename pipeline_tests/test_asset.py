"""The whole job in process: a batch ends in the right rows, and its checks tell if it did not."""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any, LiteralString

import dagster as dg
import psycopg
import pytest

from pipeline.definitions import defs
from pipeline_tests.samples import CANARY, login
from pipeline_tests.world import CLOCK_DAY, World, sample_bodies

PSEUDONYM = re.compile(r"v1\.([A-Za-z0-9_-]{27}|[A-Za-z0-9_-]{64})")


def test_a_hundred_messages_become_99_rows_one_quarantined_and_29_null_locales(
    world: World,
) -> None:
    world.send(sample_bodies())
    numbers = world.ingest()
    assert world.query(
        "SELECT count(*), count(*) FILTER (WHERE locale IS NULL), count(DISTINCT user_id),"
        " count(DISTINCT masked_ip), count(DISTINCT masked_device_id) FROM user_logins"
    ) == [(99, 29, 99, 90, 99)]
    assert world.query("SELECT reason, field FROM pipeline.quarantine") == [("missing", "user_id")]
    assert world.query("SELECT DISTINCT app_version FROM user_logins ORDER BY 1") == [
        (96_00,),
        (2_00_00,),
        (2_03_00,),
        (9_10_00,),
    ]
    # The day on which the queue took the messages, by its own clock: not that of the load.
    assert world.query("SELECT DISTINCT create_date FROM user_logins") == [(CLOCK_DAY,)]
    assert world.depth() == (0, 0)
    expected = {
        "rows": 99,
        "received": 100,
        "duplicate": 0,
        "quarantined": 1,
        "quarantined/missing": 1,
        "released": 0,
        "not acknowledged": 0,
    }
    assert {name: numbers[name] for name in expected} == expected
    assert_shows_times_and_masked_rows(numbers)


def test_other_event_ids_are_other_events_and_the_same_ones_are_not(world: World) -> None:
    """Faults of redelivery and of a producer's retry: the ledger knows the event again."""
    bodies = sample_bodies()
    first = world.send(bodies)
    world.ingest()
    world.send(bodies)
    world.ingest()
    assert world.query("SELECT count(*) FROM user_logins") == [(198,)]
    world.send(bodies, first)
    numbers = world.ingest()
    assert (numbers["rows"], numbers["duplicate"], numbers["quarantined"]) == (0, 100, 0)
    assert world.query("SELECT count(*) FROM user_logins") == [(198,)]
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(2,)]
    assert world.depth() == (0, 0)


def test_all_checks_pass_with_every_batch(world: World) -> None:
    world.send(sample_bodies())
    result = world.run()
    assert result.success
    verdicts = {each.check_name: each.passed for each in result.get_asset_check_evaluations()}
    assert verdicts == {
        "account_adds_up": True,
        "personal_fields_look_masked": True,
        "kept_columns_hold_no_personal_values": True,
    }


def test_a_server_whose_log_may_keep_rows_is_warned_of_once_a_run(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    world.send(sample_bodies())
    assert world.run().success
    assert "Postgres's log" not in capfd.readouterr().err
    database = world.postgres_url.rpartition("/")[2]
    with psycopg.connect(world.postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET log_statement = 'all'".encode())
    assert world.run().success
    told = capfd.readouterr().err
    assert told.count("Postgres's log may keep rows and values") == 1
    assert "log_statement is all; set" in told


def test_no_line_of_a_run_holds_a_value(
    world: World, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of a sound message, of a broken one, and of two that contradict each other."""
    values = {"device_id": CANARY, "ip": "203.0.113.77"}
    bodies = [login(**values), login(**values, user_id=None), login(**values, user_id="other")]
    world.send([json.dumps(body) for body in bodies], ["event-1", "event-2", "event-1"])

    with caplog.at_level(logging.INFO):
        result = world.run()

    assert result.success
    assert world.query("SELECT count(*) FROM pipeline.quarantine") == [(2,)]
    told = f"{caplog.text}{result.all_events}{capfd.readouterr()}"
    assert "received 3: 1 rows, 2 rejects" in told
    assert [value for value in values.values() if value in told] == []


TAMPERING: dict[str, list[tuple[LiteralString, LiteralString]]] = {
    "account_adds_up": [
        (
            "UPDATE pipeline.account SET loaded = loaded + 1",
            "UPDATE pipeline.account SET loaded = loaded - 1",
        ),
        (
            "UPDATE pipeline.account SET received = received + 1",
            "UPDATE pipeline.account SET received = received - 1",
        ),
        (
            "UPDATE pipeline.account SET released = released + 1",
            "UPDATE pipeline.account SET released = released - 1",
        ),
        (
            "UPDATE pipeline.quarantine SET feed = 'another'",
            "UPDATE pipeline.quarantine SET feed = 'user_logins'",
        ),
        (
            "DELETE FROM pipeline.ledger WHERE ctid = (SELECT ctid FROM pipeline.ledger LIMIT 1)",
            "SELECT",
        ),
    ],
    "personal_fields_look_masked": [
        (
            "INSERT INTO user_logins (masked_ip) VALUES ('199.172.111.135')",
            "DELETE FROM user_logins WHERE user_id IS NULL",
        ),
        (
            "INSERT INTO user_logins (masked_device_id) VALUES ('593-47-5928')",
            "DELETE FROM user_logins WHERE user_id IS NULL",
        ),
        ("UPDATE user_logins SET masked_ip = masked_ip || ' '", "SELECT"),
    ],
}


@pytest.mark.parametrize("check", TAMPERING)
def test_a_check_finds_out_what_was_tampered_with(world: World, check: str) -> None:
    world.send(sample_bodies())
    world.ingest()
    for tampering, undoing in TAMPERING[check]:
        assert failing_checks() == []
        world.query(tampering)
        assert failing_checks() == [check]
        world.query(undoing)


def assert_shows_times_and_masked_rows(numbers: Mapping[str, Any]) -> None:
    """The rest of the metadata: how long each stage took, how old messages were, a preview."""
    stages = {name for name in numbers if name.startswith("seconds/")}
    assert stages == {
        f"seconds/{stage}" for stage in ("receive", "decode", "mask", "load", "acknowledge")
    }
    assert all(numbers[stage] >= 0 for stage in stages)
    assert numbers["messages per second"] > 0
    assert numbers["oldest age on arrival (s)"] >= numbers["median age on arrival (s)"] > 0
    records: list[dg.TableRecord] = numbers["preview"].records
    assert len(records) == 5
    for record in records:
        assert record.data["user_id"] == "(personal, kept in the table only)"
        for column in ("masked_ip", "masked_device_id"):
            assert PSEUDONYM.fullmatch(str(record.data[column]))


def failing_checks() -> list[str]:
    """The checks that fail now, run by themselves as from the web UI."""
    alone = dg.define_asset_job(
        "only_checks", selection=dg.AssetSelection.checks_for_assets(dg.AssetKey("user_logins"))
    )
    job = dg.Definitions.merge(defs(), dg.Definitions(jobs=[alone])).resolve_job_def("only_checks")
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance)
    return [each.check_name for each in result.get_asset_check_evaluations() if not each.passed]
