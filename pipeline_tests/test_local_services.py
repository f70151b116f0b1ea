"""The supervisor and what the rest asks of it: started once, shared, and never left behind."""

import http.client
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.errors import LocalServiceError
from pipeline.local import services
from pipeline.local.locks import is_locked, try_lock, wait_for_lock
from pipeline.local.services import ensure_running, find_running, local_folder, stop
from pipeline_tests.samples import eventually

CHECKOUT = Path(__file__).parents[1]
CLIENT = """
import os, sys
from pathlib import Path
from pipeline.local.services import ensure_running
found = ensure_running(Path(sys.argv[1]))
if sys.argv[2:] == ["forked"] and os.fork():
    os.kill(os.getpid(), 9)
print(found.postgres_url, flush=True)
sys.stdin.read()
"""
STOP = """
import sys
from pathlib import Path
from pipeline.local.services import stop
print(stop(Path(sys.argv[1])))
"""
PATIENCE = 30.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose services have run once: to copy it saves each test an initdb."""
    folder = tmp_path_factory.mktemp("made") / "services"
    ensure_running(folder)
    stop(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "services"
    shutil.copytree(made, folder)
    yield folder
    stop(folder)


def run(script: str, *words: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", script, *words],
        cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def client(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with run(CLIENT, str(folder)) as process:
        yield process
        process.kill()


def supervise(folder: Path, idle_seconds: float) -> subprocess.Popen[str]:
    """A supervisor in the foreground, already serving."""
    process = subprocess.Popen(
        [sys.executable, "-m", services.SUPERVISOR, str(folder), f"--idle-seconds={idle_seconds}"],
        cwd=CHECKOUT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert first_line(process) == "ready"
    return process


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def supervisor(folder: Path) -> int:
    return int((folder / "supervisor.lock").read_text())


def postmaster(folder: Path) -> int:
    return int((folder / "postgres.lock").read_text())


def frees(lock: Path, seconds: float = PATIENCE) -> bool:
    """Whether a lock is let go of in time: then every process that had it is gone."""
    descriptor = wait_for_lock(lock, seconds)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


def call(endpoint: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
    """One call of the SQS JSON protocol, signed by nobody."""
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
    try:
        headers = {"x-amz-target": f"AmazonSQS.{operation}"}
        connection.request("POST", "/", json.dumps(request), headers)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return answer


def write_row(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")


def rows(url: str) -> list[tuple[int]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT number FROM kept").fetchall()


def test_both_services_are_found_by_whoever_asks_next(folder: Path) -> None:
    assert find_running(folder) is None
    started = ensure_running(folder)
    assert find_running(folder) == started
    assert ensure_running(folder) == started
    assert started.sqs_endpoint.startswith("http://127.0.0.1:")
    assert "QueueUrl" in call(started.sqs_endpoint, "CreateQueue", {"QueueName": "logins"})
    write_row(started.postgres_url)
    assert rows(started.postgres_url) == [(42,)]


def test_the_password_is_not_shown(folder: Path) -> None:
    started = ensure_running(folder)
    password = started.postgres_url.partition("warehouse:")[2].partition("@")[0]
    assert password not in repr(started)
    logs = (folder / "supervisor.log").read_text() + (folder / "postgres.log").read_text()
    assert password not in logs


def test_two_processes_at_once_end_with_one_supervisor(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "services"
    with run(CLIENT, str(folder)) as one, run(CLIENT, str(folder)) as other:
        found = {first_line(one), first_line(other)}
        one.kill()
        other.kill()
    assert len(found) == 1
    assert (folder / "supervisor.log").read_text().count("Ready") == 1
    stop(folder)


def test_threads_share_one_lease(folder: Path) -> None:
    found: list[services.LocalServices] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure_running(folder))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(found) == 4
    assert len(set(found)) == 1


def test_a_second_supervisor_leaves_when_one_serves(folder: Path) -> None:
    ensure_running(folder)
    first = supervisor(folder)
    with supervise(folder, 600) as second:
        assert second.wait(PATIENCE) == 0
    assert supervisor(folder) == first


def test_stop_leaves_nothing_running(folder: Path) -> None:
    started = ensure_running(folder)
    with psycopg.connect(started.postgres_url):
        assert stop(folder)
    assert not is_locked(folder / "supervisor.lock")
    assert not is_locked(folder / "postgres.lock")
    assert find_running(folder) is None
    assert not (folder / "services.json").exists()
    assert not stop(folder)


def test_stop_without_a_folder_makes_none(tmp_path: Path) -> None:
    assert not stop(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_a_killed_supervisor_takes_postgres_along_and_no_row(folder: Path) -> None:
    started = ensure_running(folder)
    write_row(started.postgres_url)
    os.kill(supervisor(folder), signal.SIGKILL)
    assert frees(folder / "postgres.lock")
    assert rows(ensure_running(folder).postgres_url) == [(42,)]


def test_stop_ends_a_postgres_whose_supervisor_was_just_killed(folder: Path) -> None:
    ensure_running(folder)
    os.kill(supervisor(folder), signal.SIGKILL)
    assert stop(folder) or not is_locked(folder / "postgres.lock")
    assert not is_locked(folder / "postgres.lock")


def test_a_killed_postgres_comes_back_where_it_was(folder: Path) -> None:
    started = ensure_running(folder)
    write_row(started.postgres_url)
    before = postmaster(folder)
    os.kill(before, signal.SIGKILL)
    assert frees(folder / "postgres.lock")
    again = ensure_running(folder)
    assert again == started
    assert rows(again.postgres_url) == [(42,)]
    assert postmaster(folder) != before


def test_a_supervisor_stopped_while_it_starts_leaves_nothing(folder: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", services.SUPERVISOR, str(folder)], cwd=CHECKOUT
    ) as process:
        process.terminate()
        process.wait(PATIENCE)
    assert not is_locked(folder / "postgres.lock")
    assert ensure_running(folder) == find_running(folder)


def test_messages_outlive_a_stop(folder: Path) -> None:
    endpoint = ensure_running(folder).sqs_endpoint
    url = call(endpoint, "CreateQueue", {"QueueName": "logins"})["QueueUrl"]
    call(endpoint, "SendMessage", {"QueueUrl": url, "MessageBody": "canary"})
    stop(folder)
    received = call(ensure_running(folder).sqs_endpoint, "ReceiveMessage", {"QueueUrl": url})
    assert [message["Body"] for message in received["Messages"]] == ["canary"]
    assert "canary" not in (folder / "supervisor.log").read_text()


def test_messages_outlive_a_kill_and_acknowledged_ones_leave_the_disk(folder: Path) -> None:
    endpoint = ensure_running(folder).sqs_endpoint
    url = call(endpoint, "CreateQueue", {"QueueName": "logins"})["QueueUrl"]
    call(endpoint, "SendMessage", {"QueueUrl": url, "MessageBody": "canary"})
    snapshot = folder / "queue.snapshot"
    eventually(lambda: b"canary" in snapshot.read_bytes(), patience=PATIENCE)
    os.kill(supervisor(folder), signal.SIGKILL)
    endpoint = ensure_running(folder).sqs_endpoint
    (message,) = call(endpoint, "ReceiveMessage", {"QueueUrl": url})["Messages"]
    acknowledgement = {"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]}
    call(endpoint, "DeleteMessage", acknowledgement)
    eventually(lambda: b"canary" not in snapshot.read_bytes(), patience=PATIENCE)


@pytest.mark.parametrize("damage", [b"", b"not a snapshot"])
def test_a_damaged_snapshot_is_put_aside(folder: Path, damage: bytes) -> None:
    (folder / "queue.snapshot").write_bytes(damage)
    endpoint = ensure_running(folder).sqs_endpoint
    assert call(endpoint, "ListQueues", {}).get("QueueUrls", []) == []
    assert (folder / "queue.snapshot.damaged").read_bytes() == damage
    assert "damaged" in (folder / "supervisor.log").read_text()


def test_a_damaged_list_of_services_is_no_list(folder: Path) -> None:
    ensure_running(folder)
    for damage in (b"", b"{", b"[]", b'{"sqs_endpoint": "http://127.0.0.1:1"}'):
        (folder / "services.json").write_bytes(damage)
        assert find_running(folder) is None


def test_nobody_else_can_read_anything(folder: Path) -> None:
    ensure_running(folder)
    stop(folder)
    ensure_running(folder)
    everything = [folder, *folder.rglob("*")]
    open_to_others = [path for path in everything if path.lstat().st_mode & 0o077]
    assert len(everything) > 100
    assert open_to_others == []


def test_a_normal_user_has_the_same(tmp_path: Path) -> None:
    """Where the tests run as root, nobody does it; its only right is to read the checkout."""
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
        prefix = (
            "setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
            "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--",
        )  # fmt: skip
    folder = tmp_path / "services"
    with run(CLIENT, str(folder), prefix=prefix) as process:
        write_row(first_line(process))
        process.kill()
    assert (folder / "postgres" / "data").stat().st_uid == tmp_path.stat().st_uid
    with run(STOP, str(folder), prefix=prefix) as process:
        assert first_line(process) == "True"


def test_the_services_stay_for_a_lease_and_leave_after_it(folder: Path) -> None:
    with supervise(folder, idle_seconds=0.5) as process:
        with run(CLIENT, str(folder)) as user:
            assert first_line(user)
            assert not frees(folder / "supervisor.lock", seconds=1.0)
            user.kill()
        assert process.wait(PATIENCE) == 0
    assert not is_locked(folder / "postgres.lock")


def connection_to_postgres(found: services.LocalServices) -> AbstractContextManager[object]:
    return psycopg.connect(found.postgres_url)


class LongPoll:
    """A receive that waits on an empty queue, for as long as the block lasts and longer."""

    def __init__(self, found: services.LocalServices) -> None:
        queue = call(found.sqs_endpoint, "CreateQueue", {"QueueName": "logins"})
        request = {"QueueUrl": queue["QueueUrl"], "WaitTimeSeconds": 20}
        self._connection = http.client.HTTPConnection(found.sqs_endpoint.removeprefix("http://"))
        headers = {"x-amz-target": "AmazonSQS.ReceiveMessage"}
        self._connection.request("POST", "/", json.dumps(request), headers)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@pytest.mark.parametrize("use", [connection_to_postgres, LongPoll])
def test_the_services_stay_for_users_without_a_lease(
    folder: Path, use: Callable[[services.LocalServices], AbstractContextManager[object]]
) -> None:
    with supervise(folder, idle_seconds=0.5) as process:
        found = find_running(folder)
        assert found is not None
        with use(found):
            assert not frees(folder / "supervisor.lock", seconds=1.0)
        assert process.wait(PATIENCE) == 0


def test_a_fork_does_not_keep_its_parents_lease(folder: Path) -> None:
    with run(CLIENT, str(folder), "forked") as parent:
        assert first_line(parent)
        assert parent.wait(PATIENCE) == -signal.SIGKILL
        lease = try_lock(folder / "users.lock")
    assert lease is not None
    os.close(lease)


def test_services_whose_folder_is_deleted_leave(folder: Path, tmp_path: Path) -> None:
    ensure_running(folder)
    for name in ("supervisor.lock", "postgres.lock"):
        (tmp_path / name).hardlink_to(folder / name)
    folder.rename(tmp_path / "elsewhere")
    successor = ensure_running(folder)
    assert frees(tmp_path / "supervisor.lock")
    assert frees(tmp_path / "postgres.lock")
    assert find_running(folder) == successor
    assert try_lock(folder / "users.lock") is None


def test_what_does_not_start_says_why(folder: Path) -> None:
    (folder / "postgres" / "data" / "PG_VERSION").write_text("")
    with pytest.raises(LocalServiceError, match="no readable PG_VERSION") as refused:
        ensure_running(folder)
    assert str(folder / "supervisor.log") in refused.value.remedy
    assert not is_locked(folder / "supervisor.lock")


def test_a_folder_of_somebody_elses_is_not_touched(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "letter").touch()
    with pytest.raises(LocalServiceError, match="open to other users"):
        ensure_running(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_folder_of_another_users_is_a_clear_error(tmp_path: Path) -> None:
    folder = Path("/")
    if os.geteuid() == 0:
        folder = tmp_path
        os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
    for ask in (ensure_running, find_running, stop):
        with pytest.raises(LocalServiceError, match="not this user's"):
            ask(folder)


def test_the_folder_is_the_one_given_else_in_the_checkout(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIPELINE_LOCAL_DIR", str(tmp_path))
    assert local_folder() == tmp_path
    monkeypatch.delenv("PIPELINE_LOCAL_DIR")
    assert local_folder() == CHECKOUT / ".local"


def test_an_installed_package_keeps_its_data_with_the_user(tmp_path: Path) -> None:
    shutil.copytree(CHECKOUT / "pipeline", tmp_path / "site" / "pipeline")
    shown = subprocess.run(
        [sys.executable, "-c", "from pipeline.local.services import *; print(local_folder())"],
        cwd=tmp_path / "site", check=True, capture_output=True, text=True,
        env={"HOME": str(tmp_path / "home")},
    )  # fmt: skip
    assert shown.stdout.startswith(str(tmp_path / "home"))
    assert shown.stdout.strip().endswith("/pipeline")


def test_asking_is_light() -> None:
    heavy = ("pandas", "dagster", "boto3", "uvicorn", "psycopg", "asyncio")
    script = f"import sys, pipeline.local.services; print({heavy!r} & sys.modules.keys())"
    script = script.replace(repr(heavy), repr(set(heavy)))
    shown = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, check=True, capture_output=True, text=True
    )
    assert shown.stdout.strip() == "set()"
