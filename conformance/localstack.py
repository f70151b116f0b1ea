"""LocalStack from PyPI, without Docker: installed apart, started on loopback, ended again."""

import contextlib
import hashlib
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pipeline.errors import LocalServiceError

_HERE = Path(__file__).parent
_HOME = _HERE.parent / ".cache" / "localstack"
_REQUIREMENTS = _HERE / "localstack-requirements.txt"

_READY_SECONDS: Final = 60
_STOP_SECONDS: Final = 20

_SETTINGS: Final = {
    "SERVICES": "sqs",
    "EAGER_SERVICE_LOADING": "1",
    "STRICT_SERVICE_LOADING": "1",
    "GATEWAY_SERVER": "hypercorn",
    # Neither a name server, nor figures for its makers, nor a certificate from theirs.
    "DNS_ADDRESS": "0",
    "DISABLE_EVENTS": "1",
    "SKIP_SSL_CERT_DOWNLOAD": "1",
    # As SQS does, where it is not by default.
    "SQS_DELAY_PURGE_RETRY": "1",
    "SQS_DELAY_RECENTLY_DELETED": "1",
    "SQS_ENABLE_MESSAGE_RETENTION_PERIOD": "1",
    "SQS_DISABLE_CLOUDWATCH_METRICS": "1",
}


def install(python: str) -> Path:
    """Its own environment, made the first time (about 500 MB) and when its pins change.

    Args:
        python: A Python 3.13, by path or by name.

    Returns:
        The Python of that environment.

    Raises:
        LocalServiceError: There is no Python 3.13 of that name, or the installation fails.
    """
    own, complete = _HOME / "bin" / "python", _HOME / "complete"
    pins = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()
    if complete.exists() and complete.read_text() == pins and _runs(str(own)):
        return own
    _do([find_python(python), "-m", "venv", "--clear", str(_HOME)])
    pip = [str(own), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    _do([*pip, "--no-deps", "--require-hashes", "--requirement", str(_REQUIREMENTS)])
    complete.write_text(pins)
    return own


@contextlib.contextmanager
def running(python: Path) -> Iterator[str]:
    """LocalStack's SQS on a free loopback port, with a scratch folder that goes with it.

    Args:
        python: What `install` returned.

    Yields:
        Its URL.

    Raises:
        LocalServiceError: It does not start.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        settings = {"HOME": scratch, "TMPDIR": scratch, "FILESYSTEM_ROOT": scratch}
        with log.open("wb") as written:
            server = subprocess.Popen(  # noqa: S603 - its own environment's Python
                # Isolated: or this folder's `localstack.py` would be found before the real one.
                [str(python), "-I", str(_HERE / "start_localstack.py")],
                env={**_SETTINGS, **settings, "GATEWAY_LISTEN": f"127.0.0.1:{port}"},
                cwd=scratch,
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_ready(server, url, log)
            yield url
        finally:
            _end(server)


def find_python(python: str) -> str:
    """That Python, if it is one that LocalStack runs on.

    Raises:
        LocalServiceError: It is not there, or not a Python 3.13 that can make environments.
    """
    if not _runs(python):
        raise LocalServiceError(
            f"LocalStack wants Python 3.13, and {python} is none",
            remedy='Install it, or name it: make conformance ARGS="localstack --python PATH"',
        )
    return python


def _runs(python: str) -> bool:
    fits = "import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 13))"
    try:
        tried = subprocess.run([python, "-c", fits], capture_output=True, check=False)  # noqa: S603 - what the caller named
    except OSError:
        return False
    return tried.returncode == 0


def _do(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as above
    if done.returncode:
        raise LocalServiceError(
            f"LocalStack could not be installed: {done.stderr[-1000:]}",
            remedy="Look at what pip says; the network is needed the first time",
        )


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


def _wait_until_ready(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(f"{url}/_localstack/health", timeout=2).close()  # noqa: S310 - a loopback URL of our own  # nosec B310
            return
        time.sleep(0.2)
    raise LocalServiceError(
        f"LocalStack did not start: {log.read_text(errors='replace')[-1000:]}",
        remedy=f"Remove {_HOME} to have it installed anew",
    )


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
