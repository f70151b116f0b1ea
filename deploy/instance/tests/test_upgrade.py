"""An upgrade without an end of work: migrations first, then old and new code on one queue."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from deploy.instance.tests.next_release import NEXT, make_next_release
from deploy.instance.tests.stage import LOGINS, PATIENCE, batch_in_hand, deployed
from pipeline.feeds.user_logins import FEED
from pipeline.local.postgres import EmbeddedPostgres
from pipeline.warehouse.migrate import migrate
from pipeline_tests.access_case import member_of
from pipeline_tests.crash_case import PIPELINE
from pipeline_tests.migration_case import version_of
from pipeline_tests.outside_world import ask
from pipeline_tests.samples import eventually, login
from pipeline_tests.world import World

WAVE: Final = 520  # more than wait for company
WAVES: Final = 30  # until each of two consumers must have been the first once


@dataclass
class Traffic:
    """Logins, wave after wave.

    Attributes:
        world: Where they go.
        sent: How many were sent.
    """

    world: World
    sent: int = 0

    def wave(self, **more: str) -> None:
        """Sends more than wait for company, and waits until all are settled."""
        places = range(self.sent, self.sent + WAVE)
        users = [f"{place:08x}-0000-4000-8000-000000000000" for place in places]
        self.world.send([json.dumps(login(user_id=user, **more)) for user in users])
        self.sent += WAVE
        eventually(lambda: self.world.depth() == (0, 0), patience=PATIENCE)


@dataclass
class Consumer:
    """`pipeline consume` of some release.

    Attributes:
        process: The process.
        printed: Where it writes what it tells, a line of JSON each.
    """

    process: subprocess.Popen[bytes]
    printed: Path

    def told(self, event: str) -> list[Mapping[str, Any]]:
        """What it has told of one kind."""
        lines = self.printed.read_text().splitlines(keepends=True)
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        return [each for each in whole if each["event"] == event]

    def settled(self) -> int:
        """How many messages its runs have loaded."""
        return sum(each["rows"] for each in self.told("batch"))

    def end(self) -> None:
        """Ends it in good order."""
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0


@contextmanager
def consumer(environment: Mapping[str, str], printed: Path) -> Iterator[Consumer]:
    """A consumer, gone when the block ends."""
    with (
        printed.open("wb") as output,
        subprocess.Popen(
            [str(PIPELINE), "consume", FEED.name, "--json"],
            env=dict(environment),
            stdout=output,
        ) as process,
    ):
        try:
            yield Consumer(process, printed)
        finally:
            process.kill()


@pytest.fixture
def loader(world: World) -> Iterator[dict[str, str]]:
    """The settings of a process with the pipeline's own log-in, on a warehouse of this release."""
    migrate(world.postgres_url, [FEED])
    with member_of(world.postgres_url, "loader") as url:
        yield {**world.environment, "PIPELINE_POSTGRES_URL": url}


def migrate_by(sources: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`pipeline migrate` of a release, by the owner."""
    environment = {**environment, "PYTHONPATH": str(sources)}
    return subprocess.run(
        [str(PIPELINE), "migrate"], env=environment, capture_output=True, text=True, check=False
    )


def until(holds: Callable[[], bool], act: Callable[[], None]) -> None:
    """Acts until something holds."""
    for _ in range(WAVES):
        if holds():
            return
        act()
    raise AssertionError("what was waited for did not come about")


def test_old_and_new_code_drain_one_queue_and_no_run_fails(
    world: World, loader: dict[str, str], tmp_path: Path
) -> None:
    new = make_next_release(tmp_path / "next")
    newer = {**loader, "PYTHONPATH": str(new)}
    traffic = Traffic(world)
    with consumer(loader, tmp_path / "old.log") as old:
        traffic.wave()

        ask(world.postgres_url, "ALTER TABLE user_logins ADD COLUMN carrier varchar(16)")
        migrated = migrate_by(new, world.environment)
        assert migrated.returncode == 0, migrated.stderr
        assert version_of(world.postgres_url) == NEXT
        traffic.wave()
        eventually(lambda: old.settled() == traffic.sent)  # on tables that it does not know

        with consumer(newer, tmp_path / "new.log") as young:
            traffic.wave(carrier="A1")  # producers may be the first to change
            begun = old.settled()
            until(
                lambda: old.settled() > begun and young.settled() > 0,
                lambda: traffic.wave(carrier="A1"),
            )
            old.end()
            traffic.wave(carrier="A1")
            young.end()

    told = [*old.told("trouble"), *young.told("trouble"), *old.told("check"), *young.told("check")]
    assert told == []
    assert old.settled() + young.settled() == traffic.sent
    rows = ask(world.postgres_url, "SELECT count(*), count(DISTINCT user_id) FROM user_logins")
    assert rows == [(traffic.sent, traffic.sent)]
    # What the old code loads has no value in a column that its contract does not name.
    filled = "SELECT count(*) FROM user_logins WHERE carrier = 'A1'"
    assert ask(world.postgres_url, filled) == [(young.settled(),)]
    assert ask(
        world.postgres_url,
        "SELECT sum(loaded), sum(duplicate), sum(quarantined),"
        " bool_and(received = loaded + duplicate + quarantined) FROM pipeline.account",
    ) == [(traffic.sent, 0, 0, True)]


def test_new_code_before_its_migration_receives_nothing(
    world: World, loader: dict[str, str], tmp_path: Path
) -> None:
    new = make_next_release(tmp_path / "next")
    ask(world.postgres_url, "ALTER TABLE user_logins ADD COLUMN carrier varchar(16)")
    with consumer({**loader, "PYTHONPATH": str(new)}, tmp_path / "new.log") as young:
        world.send([json.dumps(login()) for _ in range(WAVE)])
        eventually(lambda: bool(young.told("trouble")), patience=PATIENCE)
        [line, *_] = young.told("trouble")
        assert "pipeline migrate" in line["text"]
        assert world.receive_counts() == [1] * WAVE


def test_a_rollback_leaves_the_tables_and_migrates_nothing(
    world: World, loader: dict[str, str], tmp_path: Path
) -> None:
    new = make_next_release(tmp_path / "next")
    ask(world.postgres_url, "ALTER TABLE user_logins ADD COLUMN carrier varchar(16)")
    assert migrate_by(new, world.environment).returncode == 0
    with consumer(loader, tmp_path / "old.log") as old:
        Traffic(world).wave()
        assert old.told("trouble") == []
    refused = migrate_by(Path(loader["PYTHONPATH"]), world.environment)
    assert refused.returncode == 1
    assert "Migrate with the newer code; nothing was changed" in refused.stderr


def test_an_instance_is_upgraded_with_a_batch_in_hand_and_no_run_fails(
    postgres_server: EmbeddedPostgres, aws_session: boto3.Session, tmp_path: Path
) -> None:
    new = make_next_release(tmp_path / "next")
    with deployed(postgres_server, aws_session, tmp_path) as stage:
        stage.start()
        ask(stage.warehouse, "ALTER TABLE user_logins ADD COLUMN carrier varchar(16)")
        assert migrate_by(new, stage.environment).returncode == 0
        with batch_in_hand(stage):  # of the old code, on the new tables
            stage.daemon.kill(signal.SIGTERM)
            stage.code.send(signal.SIGTERM)
        eventually(lambda: not stage.code.is_alive(), patience=PATIENCE)
        stage.web.kill(signal.SIGTERM)
        stage.take_release(new)
        stage.start()
        stage.send(LOGINS, carrier="A1")
        stage.wait_for_rows()
        stage.assert_nothing_lost_or_doubled()
        eventually(lambda: {each["status"] for each in stage.runs()} == {"SUCCESS"})
        assert len(stage.runs()) == 2
        filled = "SELECT count(*) FROM user_logins WHERE carrier = 'A1'"
        assert ask(stage.warehouse, filled) == [(LOGINS,)]
