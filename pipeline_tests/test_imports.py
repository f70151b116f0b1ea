"""What takes long to import is imported by those alone who need it.

Each test looks at an interpreter of its own. What Dagster imports by itself is its own affair.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from pipeline import feeds
from pipeline_tests.world import World, sample_bodies

FRAMES: Final = frozenset({"numpy", "pandas"})
HTTP: Final = frozenset({"httpcore", "httpx", "stamina"})
SERVERS: Final = frozenset({"fastapi", "starlette", "uvicorn", "uvloop"})
TERMINAL: Final = frozenset({"pygments", "rich", "typer"})
OUTSIDE: Final = frozenset({"boto3", "botocore", "psycopg", "pycurl"})
STORAGE: Final = frozenset({"alembic", "sqlalchemy"})
TRACES: Final = frozenset({"opentelemetry"})
FOREIGN: Final = frozenset({"celery", "hypothesis", "matplotlib", "moto", "pytest"})

LOCATION: Final = FRAMES | HTTP | SERVERS | TERMINAL | STORAGE | TRACES | FOREIGN
"""What neither the code location nor a tick of its sensors may import."""
A_LOOK: Final = FRAMES | HTTP | SERVERS | STORAGE | TRACES | FOREIGN | {"dagster"}
"""What no command may import that reads a little and shows it."""

WATCH: Final = """
import atexit, json, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        # The last look before a module is there is that of its import.
        if name.partition(".")[2] == "" and name not in sys.modules:
            ways[name] = list(look_up(sys._getframe(1)))

def look_up(frame):
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if not name.startswith("importlib"):
            yield name
        frame = frame.f_back

def is_ours(way):
    for name in way:
        if name.partition(".")[0] in {"dagster", "dagster_shared", "pipeline"}:
            return name.startswith("pipeline")
    return False

def tell(into):
    ours = {name: way for name, way in ways.items() if name in sys.modules and is_ours(way)}
    told = {
        name: [each for at, each in enumerate(way) if each != "__main__" and each not in way[:at]]
        for name, way in ours.items()
    }
    with open(into, "w") as file:
        json.dump(told, file)

ways = {}
sys.meta_path.insert(0, Watch())
atexit.register(tell, sys.argv[1])
sys.argv = ["pipeline", *sys.argv[2:]]
"""
"""Tells of each package that code of ours imports: by way of which modules, the nearest first."""

LOAD_AND_TICK: Final = """
import dagster as dg
from pipeline.definitions import defs
from pipeline.resources.outside_resource import OutsideResource

repository = defs().get_repository_def()
repository.get_all_jobs()
with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(
    instance=instance,
    sensor_name="user_logins_sensor",
    definitions=defs(),
    resources={"outside": OutsideResource()},
) as context:
    print(repository.get_sensor_def("user_logins_sensor").evaluate_tick(context).skip_message)
"""
COMMAND: Final = "from pipeline.cli import main; main()"
WORK: Final = "import runpy; runpy.run_module('dagster', run_name='__main__')"

Seen = Callable[..., tuple[Mapping[str, Sequence[str]], str]]


@pytest.fixture
def seen(world: World, tmp_path: Path) -> Seen:
    """Runs a program in a world; what code of ours has imported on the way, and what it says."""

    def run(program: str, *arguments: str) -> tuple[Mapping[str, Sequence[str]], str]:
        told = tmp_path / "imported.json"
        done = subprocess.run(
            [sys.executable, "-c", WATCH + program, str(told), *arguments],
            env={**world.environment, "DAGSTER_HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(told.read_text()), done.stdout

    return run


def refuse(unwanted: frozenset[str], imported: Mapping[str, Sequence[str]]) -> None:
    """Fails where one of these is there, and tells by way of which modules each came."""
    there = sorted(unwanted & set(imported))
    assert not there, "\n".join(f"{name}: by {_way(imported[name])}" for name in there)


def _way(modules: Sequence[str]) -> str:
    last = max(at for at, module in enumerate(modules) if module.startswith("pipeline"))
    return ", for ".join(modules[: last + 1])


def test_the_code_location_and_a_tick_are_lean(seen: Seen, world: World) -> None:
    world.send(sample_bodies())
    imported, said = seen(LOAD_AND_TICK)
    assert "100 waiting" in said
    assert "botocore" in imported  # or the watch sees nothing
    refuse(LOCATION, imported)


def test_a_run_that_ingests_imports_what_it_needs(seen: Seen, world: World) -> None:
    world.send(sample_bodies())
    imported, _ = seen(
        WORK, "job", "execute", "-m", "pipeline.definitions", "-j", "ingest_user_logins"
    )
    assert world.query("SELECT count(*) FROM user_logins") == [(99,)]
    assert set(imported) >= FRAMES
    refuse(LOCATION - FRAMES, imported)


@pytest.mark.parametrize("command", ["status", "quarantine list user_logins"])
def test_a_command_that_only_looks_is_lean(seen: Seen, world: World, command: str) -> None:
    for feed in feeds.discover():
        world.sqs.create_queue(QueueName=feed.queue)
    imported, _ = seen(COMMAND, *command.split())
    assert "typer" in imported
    refuse(A_LOOK, imported)


def test_help_reaches_for_nothing_outside(seen: Seen) -> None:
    imported, _ = seen(COMMAND, "--help")
    assert "typer" in imported
    refuse(A_LOOK | OUTSIDE, imported)
