"""What the searches for personal values share: messages full of canaries, and where to look."""

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import dagster as dg
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from pipeline.feeds import find
from pipeline.local.binaries import find_binaries
from pipeline.produce.spoil import spoil, spoilable
from pipeline_tests.canaries import Canaries, found_in, found_under
from pipeline_tests.samples import login
from pipeline_tests.world import JOB, World

FEED: Final = find("user_logins")
SOUND: Final = 40
"""Logins among the messages that end in the table."""


@dataclass
class Traces:
    """Every place where a value may have been left, and the search in all of them.

    Attributes:
        world: The world of the test.
        home: Dagster's: event log, runs, what ops print.
        temporary: Temporary files, and the folder in which processes run and may dump core.
        capture: What this process prints.
        log: What it logs.
        said: What other processes have printed, by name.
        began: From when on files are looked at, in a folder that other tests use too.
    """

    world: World
    home: Path
    temporary: Path
    capture: pytest.CaptureFixture[str]
    log: pytest.LogCaptureFixture
    said: dict[str, bytes] = field(default_factory=dict)
    began: float = field(default_factory=lambda: time.time() - 1)

    def find(self, needles: Mapping[str, bytes]) -> dict[str, list[str]]:
        """The places that hold a needle, and which.

        Not the table: what a contract keeps is there. Of the server's files, see `find_stored`.
        """
        printed = self.capture.readouterr()
        self.said["printed"] = self.said.get("printed", b"") + f"{printed[0]}{printed[1]}".encode()
        texts = {
            **self.said,
            "logged": self.log.text.encode(),
            "Postgres's log": (postgres_folder(self.world) / "postgres.log").read_bytes(),
            "pg_dump": pg_dump(self.world.postgres_url, "--exclude-table-data=*.*user_logins"),
        }
        wanted = dict(needles)
        hits = {place: found_in(text, wanted) for place, text in texts.items()}
        hits |= found_under([self.home, self.temporary], wanted)
        return {place: names for place, names in hits.items() if names}

    def find_stored(self, needles: Mapping[str, bytes]) -> dict[str, list[str]]:
        """The files of the server, and the parts of a whole dump, that hold a needle."""
        self.world.query("CHECKPOINT")
        stored = found_under([postgres_folder(self.world)], dict(needles), since=self.began)
        dumped = found_in(pg_dump(self.world.postgres_url), dict(needles))
        return stored | ({"pg_dump of everything": dumped} if dumped else {})


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


def outcome(
    definitions: dg.Definitions, world: World, instance: dg.DagsterInstance, job: str = JOB
) -> str:
    """The code of the error with which a run of all messages ends; empty for none."""
    world.clock.now += 1_000  # what an earlier run released is visible
    run = definitions.resolve_job_def(job)
    result = run.execute_in_process(instance=instance, raise_on_error=False)
    return "" if result.success else failed_with(result)


def failed_with(result: dg.ExecuteInProcessResult) -> str:
    """The code of the error that a run failed with."""
    for event in result.all_events:
        if event.is_step_failure and (error := event.step_failure_data.error):
            while error.cause:
                error = error.cause
            return error.message.partition(": ")[2].partition(":")[0]
    return "no step says why"


def pg_dump(url: str, *options: str) -> bytes:
    """A database as a script, by the server's own program."""
    program = find_binaries().folder / "pg_dump"
    parts = conninfo_to_dict(url)
    command: Sequence[str] = [
        str(program), *options, f"--host={parts['host']}", f"--port={parts['port']}",
        f"--username={parts['user']}", f"--dbname={parts['dbname']}",
    ]  # fmt: skip
    ended = subprocess.run(
        command, env={"PGPASSWORD": str(parts["password"])}, capture_output=True, check=True
    )
    return ended.stdout


def postgres_folder(world: World) -> Path:
    """The folder of the server: data, write-ahead log, and what it prints."""
    with psycopg.connect(world.postgres_url) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    return Path(data).parents[1]
