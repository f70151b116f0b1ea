"""A rotation that is killed, and one beside runs that come and go: nothing is lost or doubled."""

import json
import multiprocessing
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.feeds import find
from pipeline.masking.key_file import KeyFile
from pipeline.masking.policies import Encrypt
from pipeline.operate.rotate import Order, rotate
from pipeline.resources.outside import Outside
from pipeline_tests.crash_case import PIPELINE
from pipeline_tests.custody_case import Desk, desk_at
from pipeline_tests.outside_world import ask
from pipeline_tests.rotate_case import assert_complete, held_up, person, rotated
from pipeline_tests.samples import eventually, login
from pipeline_tests.world import World


@pytest.fixture
def desk(warehouse_url: str, tmp_path: Path) -> Iterator[Desk]:
    with desk_at(warehouse_url, tmp_path) as desk:
        yield desk


def rotate_in_a_process(desk: Desk) -> None:
    rotated(desk)


def test_killed_at_any_moment_it_goes_on_where_it_was(desk: Desk) -> None:
    desk.load(*(person(place) for place in range(400)))
    desk.keys.add_version()
    spawn = multiprocessing.get_context("spawn")
    done = "SELECT count(*) FROM shop.orders WHERE sealed_ip LIKE 'v2.%'"
    for _ in range(2):
        (before,) = ask(desk.url, done)[0]
        with held_up(desk, after=90) as waits:
            process = spawn.Process(target=rotate_in_a_process, args=(desk,))
            process.start()
            eventually(waits, patience=60)
            process.kill()
            process.join()
        (after,) = ask(desk.url, done)[0]
        assert before < after < 400
    rotated(desk).check()
    assert_complete(desk, range(400), "v2")


def test_runs_of_the_real_job_go_on_meanwhile(world: World) -> None:
    """In processes of their own, one after the other, while this one rotates on and on."""
    devices = [f"device {place}" for place in range(90)]
    keys = KeyFile(world.keyring)
    keys.load_or_make()
    outside = Outside.of(world.environment)
    order = Order(find("user_logins"), "a new key", "Eve", pages=1)
    for first in range(0, 90, 30):
        bodies = [json.dumps(login(device_id=device)) for device in devices[first : first + 30]]
        world.send(bodies)
        with subprocess.Popen(
            [str(PIPELINE), "ingest", "user_logins"],
            env=dict(world.environment),
            stdout=subprocess.DEVNULL,
        ) as process:
            while first and process.poll() is None:
                rotate(outside, order, lambda _line: None)
        assert process.returncode == 0
        keys.add_version()
    rotate(outside, order, lambda _line: None).check()

    tokens = [token for (token,) in world.query("SELECT masked_device_id FROM user_logins")]
    column = next(each for each in order.feed.columns if each.name == "masked_device_id")
    field_keys = keys.load().field_keys("user_logins", column.path)
    assert isinstance(column.policy, Encrypt)
    opened = [column.policy.open(token, column.type, field_keys) for token in tokens]
    assert sorted(opened) == sorted(devices)
    assert {token[:3] for token in tokens} == {"v4."}
