"""Makes the secret files that deploy/compose.yaml mounts: python -m deploy.compose.make_secrets.

What is there stays. The folder is for its owner alone; the files in it may be read by everybody
who gets that far, because Compose hands a file on with its owner and mode as they are, and the
users inside the containers are others.
"""

import argparse
import base64
import configparser
import datetime as dt
import hashlib
import io
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.produce.rest.api_keys import ALL_FEEDS, add_key, write_list

FOLDER: Final = Path(__file__).parent / "secrets"
DATABASES: Final = {
    "owner_url": ("warehouse_owner", "warehouse"),
    "loader_url": ("etl", "warehouse"),
    "producer_url": ("rest", "warehouse"),
    "custodian_url": ("eve", "warehouse"),
    "analyst_url": ("ann", "warehouse"),
    "monitor_url": ("exporter", "warehouse"),
    "dagster_url": ("dagster", "dagster"),
}
"""File: log-in and database. deploy/compose/log_ins.py makes them from these files."""

CERTIFICATES: Final = ("gateway", "web_gateway")
SENDER: Final = "compose"
PERSON: Final = "admin"
_DAYS: Final = 365
_MODE: Final = 0o444


def main(arguments: list[str]) -> None:
    """The command."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--folder", type=Path, default=FOLDER)
    asked.add_argument("--name", action="append", help="a name of the gateways; localhost if none")
    given = asked.parse_args(arguments)
    for path in make(given.folder, given.name or ["localhost"]):
        sys.stdout.write(f"made {path}\n")


def make(folder: Path, names: Iterable[str]) -> Iterator[Path]:
    """Makes what is missing.

    Args:
        folder: Where; it is made, for its owner alone.
        names: The host names that the gateways' certificates are for.

    Yields:
        Each file that was made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    yield from _write(folder, "superuser_password", _password())
    for name, (log_in, database) in DATABASES.items():
        url = f"postgresql://{log_in}:{_password()}@postgres:5432/{database}"
        yield from _write(folder, name, url)
    yield from _write(folder, "broker_url", f"redis://:{_password()}@redis:6379/0")
    yield from _write(
        folder, "kms_key_material", base64.b64encode(secrets.token_bytes(32)).decode()
    )
    # Made from the files above, so that the two sides of a door know the same.
    yield from _write(folder, "redis_conf", _redis((folder / "broker_url").read_text()))
    yield from _write(folder, "analyst_service", _service((folder / "analyst_url").read_text()))
    yield from _sender(folder)
    yield from _person(folder)
    for name in CERTIFICATES:
        yield from _certificate(folder, name, list(names))


def _password() -> str:
    return secrets.token_urlsafe(32)


def _write(folder: Path, name: str, content: str) -> Iterator[Path]:
    path = folder / name
    if path.exists():
        return
    side = path.with_name(f".{name}")
    side.write_text(content)
    side.chmod(_MODE)
    side.rename(path)
    yield path


def _redis(url: str) -> str:
    return (
        f"requirepass {urlsplit(url).password}\n"
        'save ""\nappendonly no\n'  # runs that wait; what is lost is asked for again
        "maxmemory-policy noeviction\n"
    )


def _service(url: str) -> str:
    """A connection service file of libpq: psql is not told a password on its command line."""
    parts = urlsplit(url)
    written = configparser.ConfigParser(interpolation=None)
    written["warehouse"] = {
        "host": str(parts.hostname),
        "port": str(parts.port),
        "dbname": parts.path.lstrip("/"),
        "user": str(parts.username),
        "password": str(parts.password),
    }
    text = io.StringIO()
    written.write(text, space_around_delimiters=False)
    return text.getvalue()


def _sender(folder: Path) -> Iterator[Path]:
    """One who may send to all feeds: the list for the service, the key for whoever sends."""
    if (folder / "api_keys").exists():
        return
    entries, key = add_key({}, SENDER, feeds=(ALL_FEEDS,), per_second=None, known=())
    (folder / "sender_key").unlink(missing_ok=True)
    yield from _write(folder, "sender_key", key)
    yield from _write(folder, "api_keys", write_list(entries).decode())


def _person(folder: Path) -> Iterator[Path]:
    """One who may do everything in the web UI: the list for the gateway, the password for her."""
    yield from _write(folder, "web_roles", f"{PERSON} admin;\n")
    if (folder / "web_passwords").exists():
        return
    (folder / "web_password").unlink(missing_ok=True)
    password, salt = _password(), secrets.token_bytes(16)
    yield from _write(folder, "web_password", password)
    # Salted SHA-1, which nginx reads everywhere. It will do for 32 random bytes, which nobody finds
    # by trying; for what a person has chosen take bcrypt (docs/web-gateway.md).
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest() + salt
    hashed = base64.b64encode(digest).decode()
    yield from _write(folder, "web_passwords", f"{PERSON}:{{SSHA}}{hashed}\n")


def _certificate(folder: Path, name: str, hosts: list[str]) -> Iterator[Path]:
    """A certificate that signs itself: for a first start, until there is one of an authority."""
    if (folder / f"{name}_certificate").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in hosts]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / f"{name}_key").unlink(missing_ok=True)
    yield from _write(folder, f"{name}_key", private.decode())
    public = certificate.public_bytes(serialization.Encoding.PEM)
    yield from _write(folder, f"{name}_certificate", public.decode())


if __name__ == "__main__":
    main(sys.argv[1:])
