"""The real nginx with deploy/web-gateway's template: a child of the tests, on loopback ports."""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from deploy.gateway.tests.nginx import Gateway, certify, defaults, render, running
from pipeline_tests.world import free_port

FOLDER: Final = Path(__file__).parents[1]

PASSWORDS: Final = {
    "alice": "correct-horse-1",
    "bob": "correct-horse-2",
    "carol": "correct-horse-3",
    "dave": "correct-horse-4",
}
"""Of the roles file's admin, operator and viewer, and of one whom it does not name."""


@dataclass(frozen=True)
class Front:
    """A running gateway: `operators` and `viewers` are its two ports."""

    operators: Gateway
    viewers: Gateway

    def client(self, person: str | None = "bob", *, viewers: bool = False) -> httpx.Client:
        """A client that sends what the UI's pages send: password, own origin."""
        door = self.viewers if viewers else self.operators
        client = door.client(Origin=f"https://localhost:{door.port}")
        if person is not None:
            client.auth = httpx.BasicAuth(person, PASSWORDS[person])
        return client


def crypt(password: str) -> str:
    """The hash of a password, as README.md makes it."""
    made = subprocess.run(
        ["openssl", "passwd", "-6", "-stdin"], input=password + "\n", capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return made.stdout.strip()


@contextlib.contextmanager
def web_gateway(
    web: str, viewer: str, *, passwords: Mapping[str, str] | None = None, **settings: str
) -> Iterator[Front]:
    """Run nginx before two web servers.

    Args:
        web: Host and port of the web server.
        viewer: Host and port of the read-only one.
        passwords: Lines of the password file, by name; those of PASSWORDS by default.
        settings: What differs from web-gateway.env, without its prefix, in lower case.
    """
    # Not under pytest's folder, into which the workers of an nginx started by root cannot look.
    with tempfile.TemporaryDirectory(prefix="web-gateway-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "state").mkdir()
        trust = certify(folder)
        hashes = passwords or {who: crypt(password) for who, password in PASSWORDS.items()}
        (folder / "passwords").write_text("".join(f"{k}:{v}\n" for k, v in hashes.items()))
        operators, viewers = free_port(), free_port()
        chosen = {
            "NAME": "localhost",
            "ADDRESS": "127.0.0.1",
            "PORT": str(operators),
            "VIEWER_PORT": str(viewers),
            "CERTIFICATE": str(folder / "certificate.pem"),
            "CERTIFICATE_KEY": str(folder / "certificate.key"),
            "WEB": web,
            "VIEWER": viewer,
            "PASSWORDS": str(folder / "passwords"),
            "ROLES": str(FOLDER / "roles"),
            "STATE": str(folder / "state"),
            "LOG": str(folder / "access.log"),
            **{key.upper(): value for key, value in settings.items()},
        }
        every = defaults(FOLDER) | {f"WEB_GATEWAY_{key}": each for key, each in chosen.items()}
        (folder / "nginx.conf").write_text(render(FOLDER, every))
        with running(folder, operators):
            yield Front(Gateway(operators, folder, trust), Gateway(viewers, folder, trust))
