"""Runs the real nginx with the real template: a child of the tests, on a loopback port."""

import contextlib
import datetime as dt
import json
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline_tests.world import free_port

FOLDER: Final = Path(__file__).parents[1]
START_SECONDS: Final = 10
DEBIANS_PATH: Final = "/usr/sbin"
"""Where Debian has nginx: not on the path of a user who is not root."""


@dataclass(frozen=True)
class Gateway:
    """A running gateway.

    Attributes:
        port: Its TLS port on 127.0.0.1.
        folder: Its state, its certificate and its log.
        trust: What a client needs to believe its certificate.
    """

    port: int
    folder: Path
    trust: ssl.SSLContext

    def client(self, **headers: str) -> httpx.Client:
        """A client that waits five seconds, with headers of its own."""
        url = f"https://localhost:{self.port}"
        return httpx.Client(base_url=url, verify=self.trust, timeout=5, headers=headers)

    def connect(self) -> ssl.SSLSocket:
        """A TLS connection, for what no client would send."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        return self.trust.wrap_socket(plain, server_hostname="localhost")

    def send(self, raw: bytes) -> bytes:
        """Everything that comes back for some bytes, until nginx closes the connection."""
        with self.connect() as connection:
            connection.sendall(raw)
            return read_to_end(connection)

    def take_temporary_folders(self) -> None:
        """Leave nginx nowhere to write what it does not hold: it answers 500 if it has to.

        To look into the folders would prove nothing: nginx unlinks such a file once it is open.
        """
        for folder in (self.folder / "state").iterdir():
            if folder.is_dir():
                folder.rmdir()

    def log(self) -> list[dict[str, Any]]:
        """The lines of the access log; nginx writes a line once the answer has been sent."""
        return [json.loads(line) for line in (self.folder / "access.log").read_text().splitlines()]


def read_to_end(connection: socket.socket) -> bytes:
    """What a connection still brings; one that is cut off without a word brings nothing more."""
    received = b""
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while block := connection.recv(65536):
            received += block
    return received


@contextlib.contextmanager
def gateway(service: str, **settings: str) -> Iterator[Gateway]:
    """Run nginx before a service.

    Args:
        service: Host and port of what is behind it.
        settings: What differs from gateway.env, by the name without its prefix, in lower case.
    """
    # Not under pytest's folder, into which the workers of an nginx started by root cannot look.
    with tempfile.TemporaryDirectory(prefix="gateway-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "state").mkdir()
        trust = certify(folder)
        port = free_port()
        chosen = {
            "GATEWAY_NAME": "localhost",
            "GATEWAY_LISTEN": f"127.0.0.1:{port}",
            "GATEWAY_CERTIFICATE": str(folder / "certificate.pem"),
            "GATEWAY_CERTIFICATE_KEY": str(folder / "certificate.key"),
            "GATEWAY_SERVICE": service,
            "GATEWAY_STATE": str(folder / "state"),
            "GATEWAY_LOG": str(folder / "access.log"),
            **{f"GATEWAY_{key.upper()}": value for key, value in settings.items()},
        }
        (folder / "nginx.conf").write_text(render(FOLDER, defaults(FOLDER) | chosen))
        with running(folder, port):
            yield Gateway(port, folder, trust)


@contextlib.contextmanager
def running(folder: Path, port: int) -> Iterator[None]:
    """The nginx of a folder, from the moment it listens until the block ends."""
    command = [program(), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with (folder / "errors.log").open("wb") as errors:
        process = subprocess.Popen([*command, "-g", "daemon off;"], stderr=errors)
    try:
        for _ in range(START_SECONDS * 50):
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.02)
                break
        assert process.poll() is None, (folder / "errors.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def program() -> str:
    """Where nginx is."""
    found = shutil.which("nginx") or shutil.which("nginx", path=DEBIANS_PATH)
    assert found, "nginx is not installed: apt install nginx-light, or brew install nginx"
    return found


def defaults(folder: Path) -> dict[str, str]:
    """The settings of the one env file of a folder."""
    (file,) = folder.glob("*.env")
    lines = file.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def render(folder: Path, settings: Mapping[str, str]) -> str:
    """A folder's template with settings put in, as `envsubst` does it."""
    template = (folder / "nginx.conf.template").read_text()
    return re.sub(r"\$\{((?:WEB_)?GATEWAY_\w+)\}", lambda found: settings[found[1]], template)


def certify(folder: Path) -> ssl.SSLContext:
    """Make a certificate for `localhost`; the context of a client that believes it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "certificate.pem").write_bytes(pem)
    (folder / "certificate.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return ssl.create_default_context(cadata=pem.decode())
