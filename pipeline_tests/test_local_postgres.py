"""The embedded Postgres: nothing committed is lost, and nothing is left behind."""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pipeline.errors import LocalServiceError
from pipeline.local.locks import is_locked, wait_for_lock
from pipeline.local.postgres import EmbeddedPostgres

OWNER = """
import os, signal, sys
from pathlib import Path
from pipeline.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]))
url = server.start()
if sys.argv[2:] == ["unguarded"]:
    os.kill(server._guard.pid, signal.SIGKILL)
print(url, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose server has run once and holds one committed row."""
    folder = tmp_path_factory.mktemp("made")
    server = EmbeddedPostgres(folder)
    with psycopg.connect(server.start()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS number")
    server.stop()
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "services"))


@pytest.fixture
def server(folder: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(folder)
    yield server
    server.stop()


def kept(url: str) -> list[tuple[int]]:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT number FROM kept").fetchall()


def setting(url: str, name: str) -> str:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT current_setting(%s)", [name]).fetchone()
    assert found is not None
    return str(found[0])


def postmaster(folder: Path) -> int:
    return int((folder / "postgres.lock").read_text())


def frees(lock: Path, seconds: float = 20.0) -> bool:
    """Whether a lock is let go of in time: then every process that had it is gone."""
    descriptor = wait_for_lock(lock, seconds)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


@pytest.fixture
def owner(folder: Path) -> Iterator[subprocess.Popen[str]]:
    with start_owner(folder) as process:
        yield process
        process.kill()


def start_owner(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_first_start_makes_a_warehouse_on_loopback(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path)
    url = server.start()
    try:
        assert re.fullmatch(r"postgresql://warehouse:[\w-]{32}@127\.0\.0\.1:\d+/warehouse", url)
        assert setting(url, "server_encoding") == "UTF8"
        assert setting(url, "listen_addresses") == "127.0.0.1"
        assert setting(url, "unix_socket_directories") == ""
        assert server.start() == url
    finally:
        server.stop()


def test_stop_leaves_no_process(server: EmbeddedPostgres, folder: Path) -> None:
    url = server.start()
    with psycopg.connect(url):
        server.stop()
    assert not server.is_alive()
    # Each of its processes has inherited the lock: a free one means that none is left.
    assert not is_locked(folder / "postgres.lock")


def test_rows_outlive_the_server(server: EmbeddedPostgres) -> None:
    assert kept(server.start()) == [(42,)]


def test_a_committed_row_survives_kill_9(server: EmbeddedPostgres, folder: Path) -> None:
    url = server.start()
    with psycopg.connect(url) as connection:
        connection.execute("INSERT INTO kept VALUES (43)")
    os.kill(postmaster(folder), signal.SIGKILL)
    assert frees(folder / "postgres.lock")
    assert server.start() == url
    assert kept(url) == [(42,), (43,)]
    assert setting(url, "fsync") == "on"


def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(
    server: EmbeddedPostgres, folder: Path
) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as stranger:
        pid_file = folder / "postgres" / "data" / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{pid_file.parent}\n1700000000\n5432\n\n\n\nready\n")
        (folder / "postgres.lock").write_text(f"{stranger.pid}\n")
        assert kept(server.start()) == [(42,)]
        assert stranger.poll() is None


@pytest.mark.parametrize("content", ["", "12"])
def test_a_truncated_pid_file_is_no_obstacle(
    server: EmbeddedPostgres, folder: Path, content: str
) -> None:
    (folder / "postgres" / "data" / "postmaster.pid").write_text(content)
    (folder / "postgres.lock").write_text(content)
    assert kept(server.start()) == [(42,)]


def test_half_an_initdb_is_thrown_away(tmp_path: Path) -> None:
    half = tmp_path / "postgres.new" / "data"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    server = EmbeddedPostgres(tmp_path)
    try:
        assert server.start()
    finally:
        server.stop()
    assert not half.parent.exists()


def test_a_taken_port_is_left_alone(server: EmbeddedPostgres) -> None:
    url = server.start()
    server.stop()
    port = int(url.rpartition(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        other = server.start()
        assert other != url
        assert kept(other) == [(42,)]


def test_postgres_ends_by_itself_when_its_owner_is_killed(
    owner: subprocess.Popen[str], folder: Path
) -> None:
    assert kept(first_line(owner)) == [(42,)]
    owner.kill()
    assert frees(folder / "postgres.lock")


def test_an_orphan_is_ended_before_the_next_start(server: EmbeddedPostgres, folder: Path) -> None:
    with start_owner(folder, "unguarded") as owner:
        url = first_line(owner)
        owner.kill()
    orphan = postmaster(folder)
    assert kept(url) == [(42,)]
    assert kept(server.start()) == [(42,)]
    assert postmaster(folder) != orphan


def test_where_namespaces_are_forbidden_root_becomes_nobody(folder: Path, tmp_path: Path) -> None:
    """Any other user needs no way round, and gets the same result."""
    programs = tmp_path / "bin"
    programs.mkdir()
    if setpriv := shutil.which("setpriv"):
        (programs / "setpriv").symlink_to(setpriv)
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)],
        env=os.environ | {"PATH": str(programs)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert kept(first_line(owner)) == [(42,)]
        owner.kill()
    assert frees(folder / "postgres.lock")
    own = os.geteuid()
    assert (folder / "postgres/data").stat().st_uid == (own or pwd.getpwnam("nobody").pw_uid)


def test_the_log_keeps_no_row(server: EmbeddedPostgres, folder: Path) -> None:
    with psycopg.connect(server.start(), autocommit=True) as connection:
        connection.execute("CREATE TABLE strict (word text UNIQUE CHECK (word <> 'canary-one'))")
        connection.execute("INSERT INTO strict VALUES ('canary-two')")
        for statement in (
            "INSERT INTO strict VALUES ('canary-one')",
            "INSERT INTO strict VALUES ('canary-two')",
            "SELECT 'canary-three'::integer",
            "SELECT canary_four",
            "DO $$ BEGIN RAISE WARNING 'canary-five'; END $$",
        ):
            try:
                connection.execute(statement)
            except psycopg.Error:
                continue
    log = (folder / "postgres.log").read_text()
    assert "ready to accept connections" in log
    assert "canary" not in log


def test_nobody_gets_in_without_the_password(server: EmbeddedPostgres) -> None:
    user, _, place = server.start().rpartition("@")
    wrong = f"{user.rpartition(':')[0]}:wrong@{place}"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(wrong)


def test_clients_are_counted_without_the_question_itself(server: EmbeddedPostgres) -> None:
    url = server.start()
    assert server.count_clients() == 0
    with psycopg.connect(url):
        assert server.count_clients() == 1


@pytest.mark.parametrize("part", ["data/PG_VERSION", "data/global/pg_control", "password"])
def test_a_damaged_folder_is_a_clear_error(
    server: EmbeddedPostgres, folder: Path, part: str
) -> None:
    (folder / "postgres" / part).unlink()
    with pytest.raises(LocalServiceError, match=r"embedded Postgres in .* move .* away"):
        server.start()
    assert not is_locked(folder / "postgres.lock")
