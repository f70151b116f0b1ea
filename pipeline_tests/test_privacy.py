"""No personal value is found where none may be, after a day's worth of everything."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import dagster as dg

from pipeline.consume.asset import ingest
from pipeline.contract import Feed
from pipeline.definitions import defs
from pipeline.errors import values_kept_out
from pipeline.masking.keyring import FieldKeys
from pipeline.masking.policies import Policy, Vault
from pipeline.operate.custody_jobs import custody_jobs
from pipeline.produce.spoil import spoilable
from pipeline.resources.outside_resource import OutsideResource
from pipeline.types import FieldType
from pipeline_tests.canaries import Canaries, found_in
from pipeline_tests.load_case import batch, prepared, settle
from pipeline_tests.privacy_case import (
    FEED,
    SOUND,
    Traces,
    bodies,
    failed_with,
    outcome,
    pg_dump,
    record,
)
from pipeline_tests.samples import eventually, message
from pipeline_tests.world import World, admit

PIPELINE: Final = Path(sys.executable).with_name("pipeline")
START: Final = 60.0  # seconds within which a process must come to its moment

# The classes of appendix A of the Postgres manual in which a statement can fail, with a code each.
OF_A_ROW: Final = (
    *("21000", "22P02", "23505", "27000", "2F002", "38000", "39004", "44000", "54000", "P0001"),
)
OF_THE_TABLE: Final = (
    *("03000", "08006", "09000", "0A000", "0B000", "0F001", "0L000", "0P000", "0Z002", "10608"),
    *("20000", "24000", "25006", "26000", "28000", "2B000", "2D000", "34000", "3B001", "3D000"),
    *("3F000", "40001", "42501", "53100", "55P03", "57014", "58030", "F0000", "HV000", "XX000"),
)


@dataclass(frozen=True, slots=True)
class Leaking:
    """A policy with a bug, whose error holds all that it was given."""

    name: ClassVar[str] = "leaking"
    pattern: ClassVar[str] = "masked"

    def sql(self, kind: FieldType) -> str:  # noqa: ARG002 - as Pseudonymize
        return "varchar(256)"

    def mask(self, values: Sequence[object], kind: FieldType, keys: FieldKeys) -> list[object]:  # noqa: ARG002 - it fails
        if not values:
            return []
        raise ValueError(f"cannot mask {values}")

    def problem(self, kind: FieldType, *, personal: bool) -> str | None:  # noqa: ARG002 - nothing is wrong with it
        return None


def test_a_day_leaves_no_value_behind(
    world: World, canaries: Canaries, instance: dg.DagsterInstance, traces: Traces
) -> None:
    """Invariant 4 and fault 36, over every way that a batch can go, and all that custodians do."""
    world.send(bodies(canaries))
    twice = [json.dumps(record(canaries, place)) for place in (300, 301)]
    world.send(twice, ["one event"] * 2)
    failed = [
        a_leaking_policy(world, instance),
        a_table_that_refuses_all(world, instance),
        a_lost_database(world, instance),
    ]
    assert failed == ["E_UNEXPECTED", "E_TABLE_MISMATCH", "E_WAREHOUSE_UNAVAILABLE"]
    a_crash(world, traces)
    world.query("ALTER TABLE user_logins ADD CHECK (locale <> 'XX')")
    assert outcome(defs(), world, instance) == ""
    assert world.query("SELECT count(*) FROM user_logins") == [(SOUND + 1,)]
    reasons = {reason for (reason,) in world.query("SELECT reason FROM pipeline.quarantine")}
    assert reasons >= {"refused_by_database", "conflict", "bad_address", *spoilable(FEED)}
    custody_at_the_command_line(world, canaries, traces)
    custody_as_jobs(world, canaries, instance)

    masked, users = canaries.masked_needles(), canaries.user_needles()
    assert traces.find(masked | users) == {}
    assert traces.find_stored(masked) == {}
    assert found_in(pg_dump(world.postgres_url), users)  # so the search does see what is there
    # It was all kept: events, and what ops have printed.
    assert {path.suffix for path in traces.home.rglob("*")} >= {".db", ".err", ".out"}


def test_no_refusal_of_the_database_tells_a_value(
    world: World, canaries: Canaries, instance: dg.DagsterInstance, traces: Traces
) -> None:
    """Every class of SQLSTATE at the load, with all that the row says in each part of it."""
    prepared(world.postgres_url)

    def load_op(place: int, state: str) -> dg.OpDefinition:
        @dg.op(name=f"load_{state}")
        def load() -> None:
            refuse_with(world, state)
            load = batch([message(record(canaries, place))])
            try:
                with values_kept_out(feed=FEED.name, stage="load"):
                    settle(load, world.postgres_url)
            finally:
                world.query("DROP TRIGGER refuse ON user_logins")

        return load

    @dg.job(executor_def=dg.in_process_executor)
    def refusals() -> None:
        for place, state in enumerate((*OF_A_ROW, *OF_THE_TABLE)):
            load_op(place, state)()

    result = refusals.execute_in_process(instance=instance, raise_on_error=False)
    failed = {event.step_key for event in result.all_events if event.is_step_failure}
    assert failed == {f"load_{state}" for state in OF_THE_TABLE}
    refused = world.query("SELECT DISTINCT reason, count(*) FROM pipeline.quarantine GROUP BY 1")
    assert refused == [("refused_by_database", len(OF_A_ROW))]

    masked, users = canaries.masked_needles(), canaries.user_needles()
    assert traces.find(masked | users) == {}
    assert traces.find_stored(masked) == {}


def a_leaking_policy(world: World, instance: dg.DagsterInstance) -> str:
    """Deep inside the masking, an error holds every value."""
    return outcome(definitions_of(with_policy(FEED, Leaking())), world, instance)


def a_table_that_refuses_all(world: World, instance: dg.DagsterInstance) -> str:
    """Each row is refused, with all that it says in the detail."""
    refuse_with(world, "P0001")
    code = outcome(defs(), world, instance)
    world.query("DROP TRIGGER refuse ON user_logins")
    return code


def refuse_with(world: World, state: str) -> None:
    """Has the table refuse each row, with its values in every part of the error."""
    body = (
        f"BEGIN RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = NEW::text,"
        " DETAIL = NEW::text, HINT = NEW::text; END"
    )
    statement = (
        f"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$;"
        " CREATE TRIGGER refuse BEFORE INSERT ON user_logins"
        " FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    world.query(statement)


def a_lost_database(world: World, instance: dg.DagsterInstance) -> str:
    """Postgres goes down after the batch was received."""
    call = world.app.calls["ReceiveMessage"] + 1
    world.app.hooks["ReceiveMessage", call] = lambda: admit(world.postgres_url, connections=False)
    code = outcome(defs(), world, instance)
    admit(world.postgres_url, connections=True)
    return code


def a_crash(world: World, traces: Traces) -> None:
    """A run aborts with a whole batch in its memory, where core dumps would be allowed."""
    world.clock.now += 1_000
    with (
        world.app.gate("DeleteMessageBatch", 1) as gate,
        subprocess.Popen(
            [str(PIPELINE), "ingest", "user_logins"],
            env={**world.environment, "TMPDIR": str(traces.temporary)},
            cwd=traces.temporary,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            preexec_fn=allow_core_dumps,  # noqa: PLW1509 - this process has no other threads' locks to fear
        ) as process,
    ):
        assert gate.reached.wait(START)
        process.send_signal(signal.SIGABRT)
        traces.said["a run that aborted"], _ = process.communicate()
    assert process.returncode == -signal.SIGABRT
    assert list(traces.temporary.glob("*core*")) == []
    eventually(lambda: world.query("SELECT sum(received) > 0 FROM pipeline.account") == [(True,)])
    world.query("TRUNCATE user_logins, pipeline.ledger, pipeline.quarantine, pipeline.account")


def allow_core_dumps() -> None:
    """As far as this machine and this user allow: the limit of the tests' own process is 0."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def custody_at_the_command_line(world: World, canaries: Canaries, traces: Traces) -> None:
    """A value is looked up, the key changes, the table follows, a person is deleted."""
    ((token,),) = world.query("SELECT min(masked_device_id) FROM user_logins")
    column = ("user_logins", "masked_device_id")
    why = ("--reason", "a test", "--by", "a tester")
    shown = command(world, traces, "unmask", *column, token, *why)
    assert found_in(shown, canaries.masked_needles())  # on standard output, where it is to be
    traces.said["wrong"] = command(
        world, traces, "unmask", *column, canaries.device(1), *why, status=1
    )
    traces.said["keys"] = command(world, traces, "keys", "new-version")
    traces.said["rotate"] = command(world, traces, "rotate", "user_logins")
    versions = world.query("SELECT DISTINCT left(masked_device_id, 3) FROM user_logins")
    assert versions == [("v2.",)]
    value = canaries.device(1).encode()
    traces.said["forget"] = command(
        world, traces, "forget", *column, "--delete-rows", *why, entered=value
    )
    assert world.query("SELECT count(*) FROM user_logins") == [(SOUND,)]


def command(
    world: World, traces: Traces, *arguments: str, entered: bytes = b"", status: int = 0
) -> bytes:
    """What a command prints to standard output; the rest is kept for the search."""
    ended = subprocess.run(
        [str(PIPELINE), *arguments],
        env={**world.environment, "PIPELINE_CUSTODIAN_URL": world.postgres_url},
        cwd=traces.temporary,
        input=entered,
        capture_output=True,
        check=False,
    )
    traces.said[f"errors of {arguments[0]}"] = ended.stderr
    assert ended.returncode == status, ended.stderr
    return ended.stdout


def custody_as_jobs(world: World, canaries: Canaries, instance: dg.DagsterInstance) -> None:
    """The same from the web UI, for a feed that keeps its devices in the vault."""
    url = world.sqs.create_queue(QueueName="vaulted-queue")["QueueUrl"]
    feed = replace(with_policy(FEED, Vault()), name="vaulted", queue="vaulted-queue")
    feed = replace(feed, table="vaulted_user_logins")
    definitions = definitions_of(feed)
    for place in range(3):
        world.sqs.send_message(QueueUrl=url, MessageBody=json.dumps(record(canaries, place)))
    assert outcome(definitions, world, instance, "ingest_vaulted") == ""
    tokens = [t for (t,) in world.query("SELECT masked_device_id FROM vaulted_user_logins")]
    asked = {"column": "masked_device_id", "reason": "a test", "stated_by": "a tester"}
    configs: dict[str, tuple[str, dict[str, Any]]] = {
        "unmask_vaulted": ("ask_vaulted", {**asked, "pseudonyms": tokens}),
        "forget_vaulted": ("erase_vaulted", {**asked, "pseudonyms": tokens[:1]}),
        "rotate_vaulted": ("renew_vaulted", {}),
    }
    os.environ["PIPELINE_CUSTODIAN_URL"] = world.postgres_url
    for name, (op, config) in configs.items():
        result = definitions.resolve_job_def(name).execute_in_process(
            instance=instance, run_config={"ops": {op: {"config": config}}}, raise_on_error=False
        )
        assert result.success, failed_with(result)
    assert world.query("SELECT count(*) FROM pipeline.vault WHERE feed = 'vaulted'") == [(5,)]


def with_policy(feed: Feed, policy: Policy) -> Feed:
    """The feed with another policy for its masked columns."""
    fields = tuple(
        replace(each, policy=policy) if each.path in {"ip", "device_id"} else each
        for each in feed.fields
    )
    return replace(feed, fields=fields)


def definitions_of(feed: Feed) -> dg.Definitions:
    """What is deployed for a feed."""
    resources = {"outside": OutsideResource(), "io_manager": dg.mem_io_manager}
    return dg.Definitions.merge(
        ingest(feed),
        dg.Definitions(
            jobs=custody_jobs(feed), resources=resources, executor=dg.in_process_executor
        ),
    )
