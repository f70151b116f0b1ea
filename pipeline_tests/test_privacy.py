"""No personal value is found where none may be, whatever happens to the messages that held it."""

import base64
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import dagster as dg
import psycopg
import pytest
from psycopg import sql

from pipeline.consume.asset import ingest
from pipeline.definitions import defs
from pipeline.feeds import find
from pipeline.masking.keyring import FieldKeys
from pipeline.produce.spoil import spoil, spoilable
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import FieldType
from pipeline_tests.canaries import Canaries, found_in, found_under
from pipeline_tests.samples import login
from pipeline_tests.world import JOB, World, admit

FEED: Final = find("user_logins")
SOUND: Final = 40
TABLES: Final = ("public.user_logins", "pipeline.ledger", "pipeline.quarantine", "pipeline.account")


@dataclass(frozen=True, slots=True)
class Leaking:
    """A policy with a bug, whose error holds all that it was given."""

    name: ClassVar[str] = "leaking"
    pattern: ClassVar[str] = "masked"

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - as Pseudonymize
        return "varchar(256)"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - it fails
        raise ValueError(f"cannot mask {values}")

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - nothing is wrong with it
        return None


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files of this process, and nobody else's."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is DAGSTER_HOME."""
    folder = tmp_path / "dagster"
    folder.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(folder))
    return folder


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that keeps everything below that folder, what ops print included."""
    telemetry = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(home), overrides=telemetry) as instance:
        yield instance


def test_no_run_leaves_a_value_behind(  # noqa: PLR0917 - fixtures, by name
    world: World,
    canaries: Canaries,
    instance: dg.DagsterInstance,
    home: Path,
    temporary: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Invariant 4, over every way that a batch can go, one after the other."""
    began = time.time() - 1
    world.send(bodies(canaries))
    twice = [json.dumps(record(canaries, place)) for place in (300, 301)]
    world.send(twice, ["one event"] * 2)
    failed_with = [
        a_leaking_policy(world, instance),
        a_table_that_refuses_all(world, instance),
        a_lost_database(world, instance),
    ]
    assert failed_with == ["E_UNEXPECTED", "E_TABLE_MISMATCH", "E_WAREHOUSE_UNAVAILABLE"]
    world.query("ALTER TABLE user_logins ADD CHECK (locale <> 'XX')")
    assert outcome(defs(), world, instance) == ""
    assert world.query("SELECT count(*) FROM user_logins") == [(SOUND + 1,)]
    reasons = {reason for (reason,) in world.query("SELECT reason FROM pipeline.quarantine")}
    assert reasons >= {"refused_by_database", "conflict", "bad_address", *spoilable(FEED)}

    world.query("CHECKPOINT")
    printed = capfd.readouterr()
    texts = f"{printed.out}{printed.err}{caplog.text}".encode()
    dumps = {table: dump(world, table) for table in TABLES}
    masked, users = canaries.masked_needles(), canaries.user_needles()
    assert found_in(texts, masked | users) == []
    assert {path.suffix for path in home.rglob("*")} >= {".db", ".err", ".out"}  # it was all kept
    assert found_under([home, temporary], masked | users) == {}
    assert found_under([postgres_folder(world)], masked, since=began) == {}
    assert [found_in(each, masked) for each in dumps.values()] == [[]] * len(TABLES)
    kept = dumps.pop("public.user_logins")
    assert found_in(kept, users)  # so the search does see what is there
    assert [found_in(each, users) for each in dumps.values()] == [[]] * len(dumps)
    assert found_in(postgres_log(world), users) == []


def test_the_search_sees_what_is_there(world: World, canaries: Canaries, tmp_path: Path) -> None:
    """Else the other test would pass for the wrong reason."""
    began = time.time() - 1
    needles = canaries.masked_needles()
    planted = tmp_path / "planted"
    planted.mkdir()
    device, address = canaries.device(1), canaries.address(1)
    forms: dict[str, bytes] = {
        "plain": device.encode(),
        "json": json.dumps(json.dumps({"deep": [device]})).encode(),
        "upper": address.upper().encode(),
        "quoted": address.replace(":", "%3A").encode(),
        "reversed": address[::-1].encode(),
        "hex": device.encode().hex().encode(),
    }
    for shift in range(3):
        text = b"x" * shift + address.encode() + b"tail"
        forms[f"base64-{shift}"] = base64.b64encode(text)
        forms[f"urlsafe-{shift}"] = base64.urlsafe_b64encode(b"x" * shift + device.encode() + b"yz")
    for name, content in forms.items():
        (planted / name).write_bytes(b"before" + content + b"after")
    (planted / f"named {device}").touch()
    assert len(found_under([planted], needles)) == len(forms) + 1
    with psycopg.connect(world.postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE planted (value text)")
        connection.execute("INSERT INTO planted VALUES (%s)", (device,))
    world.query("CHECKPOINT")
    files = found_under([postgres_folder(world)], needles, since=began)
    assert any("pg_wal" in path for path in files)
    assert any("base" in path for path in files)
    assert found_in(dump(world, "public.planted"), needles)


def bodies(canaries: Canaries) -> list[str]:
    """Sound logins, and messages that break each rule, all of them full of canaries."""
    records = [record(canaries, place) for place in range(SOUND)]
    broken = [
        spoil(FEED, record(canaries, 100 + place), reason)
        for place, reason in enumerate(spoilable(FEED))
    ]
    device, address = canaries.device(200), canaries.address(200)
    odd: list[dict[str, Any]] = [
        record(canaries, 201) | {"ip": device},
        record(canaries, 202) | {"ip": [address]},
        record(canaries, 203) | {"ip": {address: device}},
        record(canaries, 204) | {"device_id": device * 5},
        record(canaries, 205) | {"device_id": f"{device}\0"},
        record(canaries, 206) | {"app_version": address},
        record(canaries, 207) | {"device_type": f"{device} {address} " * 3},
        record(canaries, 208) | {"locale": "XX"},
        {address: device},
    ]
    unknown = {address: device, "nested": {"of": [device, address]}}
    records[0] |= unknown
    raw = [f"{device} {address}", json.dumps([device]), json.dumps(device), f'{{"ip": "{address}']
    return [*map(json.dumps, records), *broken, *map(json.dumps, odd), *raw]


def record(canaries: Canaries, place: int) -> dict[str, object]:
    """A sound login of which every personal value is a canary."""
    return login(
        user_id=canaries.user(place),
        ip=canaries.address(place),
        device_id=canaries.device(place),
    )


def a_leaking_policy(world: World, instance: dg.DagsterInstance) -> str:
    """Deep inside the masking, an error holds every value."""
    fields = tuple(
        replace(each, policy=Leaking()) if each.path in {"ip", "device_id"} else each
        for each in FEED.fields
    )
    resources = {"outside": OutsideResource(), "io_manager": dg.mem_io_manager}
    definitions = dg.Definitions.merge(
        ingest(replace(FEED, fields=fields)),
        dg.Definitions(resources=resources, executor=dg.in_process_executor),
    )
    return outcome(definitions, world, instance)


def a_table_that_refuses_all(world: World, instance: dg.DagsterInstance) -> str:
    """Each row is refused, with all that it says in the detail."""
    world.query(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'refused' USING DETAIL = NEW::text; END $$;"
        " CREATE TRIGGER refuse BEFORE INSERT ON user_logins"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    code = outcome(defs(), world, instance)
    world.query("DROP TRIGGER refuse ON user_logins")
    return code


def a_lost_database(world: World, instance: dg.DagsterInstance) -> str:
    """Postgres goes down after the batch was received."""
    call = world.app.calls["ReceiveMessage"] + 1
    world.app.hooks["ReceiveMessage", call] = lambda: admit(world.postgres_url, connections=False)
    code = outcome(defs(), world, instance)
    admit(world.postgres_url, connections=True)
    return code


def outcome(definitions: dg.Definitions, world: World, instance: dg.DagsterInstance) -> str:
    """The code of the error with which a run of all messages ends; empty for none."""
    world.clock.now += 1_000  # what an earlier run released is visible
    depth, _ = world.depth()
    assert depth > SOUND
    job = definitions.resolve_job_def(JOB)
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    for event in result.all_events:
        if event.is_step_failure and (error := event.step_failure_data.error):
            while error.cause:
                error = error.cause
            return error.message.partition(": ")[2].partition(":")[0]
    return ""


def dump(world: World, table: str) -> bytes:
    """A table as text."""
    statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(*table.split(".")))
    with (
        psycopg.connect(world.postgres_url) as connection,
        connection.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        return b"".join(bytes(part) for part in copy)


def postgres_folder(world: World) -> Path:
    """The folder of the server: data, write-ahead log, and what it prints."""
    ((data,),) = world.query("SHOW data_directory")
    return Path(data).parents[1]


def postgres_log(world: World) -> bytes:
    """What the server has printed."""
    return (postgres_folder(world) / "postgres.log").read_bytes()
