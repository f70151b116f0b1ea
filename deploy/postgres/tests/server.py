"""The Postgres of this machine, set as pg_hba.conf and tls.conf say."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from pipeline.local.binaries import QUIET, Binaries, candidate_folders, find_binaries
from pipeline.local.cluster import USER, Cluster, exclusive, make_cluster
from pipeline.local.identity import Identity, choose_identity
from pipeline_tests.authority import LOOPBACK, NOW, Authority
from pipeline_tests.world import free_port

FOLDER: Final = Path(__file__).parents[1]
START_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Server:
    """A running one.

    Attributes:
        port: On 127.0.0.1.
        authority: Who signed its certificate, which is for 127.0.0.1.
        password: Of the superuser `warehouse`.
    """

    port: int
    authority: Authority
    password: str

    def url(self, user: str = USER, password: str | None = None, *, name: str = "warehouse") -> str:
        """A URL without a word about TLS."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{name}"

    def verified(self, url: str) -> str:
        """A URL that asks for all that there is."""
        trust = f"sslmode=verify-full&sslrootcert={self.authority.file}"
        return f"{url}?{trust}&channel_binding=require&gssencmode=disable"


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Server]:
    """A fresh one, with the databases `warehouse` and `dagster`."""
    binaries = _with_openssl()
    identity = choose_identity(binaries.postgres)
    folder.chmod(0o755)
    cluster = Cluster(folder.resolve())
    with exclusive(cluster) as lock:
        make_cluster(cluster, binaries, identity, lock=lock)
        authority = Authority(folder)
        authority.context(LOOPBACK, NOW.replace(year=NOW.year + 1))
        _configure(cluster, folder / "server.pem", identity)
        port = free_port()
        with running(cluster, binaries, identity, port):
            made = Server(port, authority, cluster.password())
            with psycopg.connect(
                made.verified(made.url(name="postgres")), autocommit=True
            ) as connection:
                connection.execute("CREATE DATABASE warehouse")
                connection.execute("CREATE DATABASE dagster")
            yield made


def _with_openssl() -> Binaries:
    for folder in candidate_folders():
        asked = subprocess.run(
            [folder / "pg_config", "--configure"], capture_output=True, text=True, check=False
        )
        if "openssl" in asked.stdout:
            return find_binaries([folder])
    raise AssertionError("no Postgres with OpenSSL is installed: apt install postgresql")


def _configure(cluster: Cluster, own: Path, identity: Identity) -> None:
    """What an operator does: the two files of this folder, a certificate, a key."""
    shutil.copy(FOLDER / "tls.conf", cluster.data)
    hba = (FOLDER / "pg_hba.conf").read_text()
    # The one line more is for this test's superuser, before there are databases.
    (cluster.data / "pg_hba.conf").write_text(
        f"{hba}hostssl postgres {USER} 127.0.0.1/32 scram-sha-256\n"
    )
    with (cluster.data / "postgresql.conf").open("a") as file:
        file.write("include = 'tls.conf'\n")
    for name in ("server.crt", "server.key"):
        shutil.copy(own, cluster.data / name)
        (cluster.data / name).chmod(0o600)
    identity.own(cluster.data)


@contextlib.contextmanager
def running(cluster: Cluster, binaries: Binaries, identity: Identity, port: int) -> Iterator[None]:
    """The server, from the moment that it is ready until the block ends."""
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
    command = [*identity.prefix, str(binaries.postgres), "-D", str(cluster.data), "-c", "fsync=off"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with cluster.log.open("wb") as log:
        process = subprocess.Popen(
            command, env=QUIET, cwd="/", stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _is_ready(cluster):
            assert process.poll() is None, cluster.log.read_text()
            assert time.monotonic() < deadline, cluster.log.read_text()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()


def _is_ready(cluster: Cluster) -> bool:
    with contextlib.suppress(OSError):
        return "ready" in (cluster.data / "postmaster.pid").read_text()
    return False
