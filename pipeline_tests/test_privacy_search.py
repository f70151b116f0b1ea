"""The search for personal values sees one in every place and every form: else it proves nothing."""

import base64
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

import dagster as dg
import psycopg
import pytest

from pipeline_tests.canaries import Canaries, found_under
from pipeline_tests.privacy_case import Traces


def an_event(_traces: Traces, instance: dg.DagsterInstance, value: str) -> None:
    @dg.op
    def tells(context: dg.OpExecutionContext) -> None:
        context.log.info(value)

    run_op(tells, instance)


def metadata(_traces: Traces, instance: dg.DagsterInstance, value: str) -> None:
    @dg.op
    def shows(context: dg.OpExecutionContext) -> None:
        context.add_output_metadata({"shown": value})

    run_op(shows, instance)


def an_op_that_prints(_traces: Traces, instance: dg.DagsterInstance, value: str) -> None:
    @dg.op
    def prints() -> None:
        print(value)  # noqa: T201 - what is not to be done

    run_op(prints, instance)


def standard_output(_traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    print(value)  # noqa: T201 - as above


def a_log_line(_traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    logging.getLogger("pipeline").warning("%s", value)


def another_process(traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    traces.said["errors of unmask"] = value.encode()


def a_temporary_file(traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    (traces.temporary / "left").write_text(value)


def a_core_dump(traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    (traces.temporary / "core.1234").write_bytes(bytes(5_000) + value.encode() + bytes(5_000))


def the_name_of_a_file(traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    (traces.home / value).touch()


def the_log_of_postgres(traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    with psycopg.connect(traces.world.postgres_url) as connection:
        connection.execute("SELECT set_config('test.value', %s, false)", (value,))
        connection.execute("DO $$ BEGIN RAISE LOG '%', current_setting('test.value'); END $$")


def a_table_of_ours(traces: Traces, _instance: dg.DagsterInstance, value: str) -> None:
    with psycopg.connect(traces.world.postgres_url) as connection:
        connection.execute("CREATE TABLE planted (value text)")
        connection.execute("INSERT INTO planted VALUES (%s)", (value,))


Leave = Callable[[Traces, dg.DagsterInstance, str], None]

PLACES: Final[list[tuple[Leave, str]]] = [
    (an_event, ".db"),
    (metadata, ".db"),
    (an_op_that_prints, ".out"),
    (standard_output, "printed"),
    (a_log_line, "logged"),
    (another_process, "errors of unmask"),
    (a_temporary_file, "/left"),
    (a_core_dump, "/core.1234"),
    (the_name_of_a_file, ""),
    (the_log_of_postgres, "Postgres's log"),
    (a_table_of_ours, "pg_dump"),
]


@pytest.mark.parametrize(("leave", "place"), PLACES)
def test_a_value_is_found_wherever_it_is_left(
    leave: Leave, place: str, traces: Traces, canaries: Canaries, instance: dg.DagsterInstance
) -> None:
    assert traces.find(canaries.masked_needles()) == {}
    leave(traces, instance, canaries.device(1))
    found = traces.find(canaries.masked_needles())
    assert any(each.endswith(place) for each in found), found


def test_a_value_is_found_in_the_files_of_the_server(traces: Traces, canaries: Canaries) -> None:
    with psycopg.connect(traces.world.postgres_url) as connection:
        connection.execute("CREATE TABLE vaulted_user_logins (value text)")
        connection.execute("INSERT INTO vaulted_user_logins VALUES (%s)", (canaries.device(1),))
    assert traces.find(canaries.masked_needles()) == {}  # what the contract keeps may be there
    found = traces.find_stored(canaries.masked_needles())
    assert "pg_dump of everything" in found
    assert any("pg_wal" in path for path in found)
    assert any("/base/" in path for path in found)


def test_a_value_is_found_in_every_form(canaries: Canaries, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    device, address = canaries.device(1), canaries.address(1)
    last = device[-4:]
    forms: dict[str, bytes] = {
        "plain": device.encode(),
        "json": json.dumps(json.dumps({"deep": [device]})).encode(),
        "upper": address.upper().encode(),
        "quoted": address.replace(":", "%3A").encode(),
        "reversed": address[::-1].encode(),
        "hex": device.encode().hex().encode(),
        "last four": last.encode(),
        "last four, json": json.dumps(last).encode(),
        "last four, quoted": quote(last).encode(),
        "last four, wide": last.encode("utf-16-le"),
    }
    for shift in range(3):
        text = b"x" * shift + address.encode() + b"tail"
        forms[f"base64-{shift}"] = base64.b64encode(text)
        forms[f"urlsafe-{shift}"] = base64.urlsafe_b64encode(b"x" * shift + device.encode() + b"yz")
        forms[f"last four, base64-{shift}"] = base64.b64encode(b"x" * shift + last.encode() + b"yz")
    for name, content in forms.items():
        (planted / name).write_bytes(b"before" + content + b"after")
    assert len(found_under([planted], canaries.masked_needles())) == len(forms)


def run_op(op: dg.OpDefinition, instance: dg.DagsterInstance) -> None:
    @dg.job(executor_def=dg.in_process_executor)
    def the_job() -> None:
        op()

    assert the_job.execute_in_process(instance=instance).success
