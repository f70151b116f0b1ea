"""TLS is verified, always: fault 83."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.errors import FetchError
from pipeline.produce.fetch.planning import count
from pipeline_tests.fetch_case import QUICK, Case
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.upstream import Upstream, serving

NOW: Final = datetime.now(UTC)
LOOPBACK: Final = x509.IPAddress(ip_address("127.0.0.1"))


class Authority:
    """Makes certificates, and says where its own is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        certificate = self._sign(self._name, self._key, NOW + timedelta(days=1), authority=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(certificate)

    def context(self, name: x509.GeneralName, until: datetime) -> ssl.SSLContext:
        """What a server needs that calls itself so."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
        own = self._folder / "server.pem"
        own.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + self._sign(subject, key, until, names=[name])
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        until: datetime,
        *,
        names: list[x509.GeneralName] | None = None,
        authority: bool = False,
    ) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=2))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that this process trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


@contextmanager
def at(context: ssl.SSLContext, case: Case) -> Iterator[Case]:
    """The case, with its API behind TLS."""
    with serving(context) as server:
        server.api = case.api
        yield replace(case, reach=replace(case.reach, base=httpx.URL(server.url)))


def test_a_certificate_that_holds_is_taken(authority: Authority, case_of: MakeCase) -> None:
    context = authority.context(LOOPBACK, NOW + timedelta(days=1))
    with at(context, case_of(Upstream([1, 2]))) as case:
        assert case.fetch().sent == 2


@pytest.mark.parametrize(
    ("name", "until"),
    [
        (LOOPBACK, NOW - timedelta(days=1)),
        (x509.IPAddress(ip_address("127.0.0.2")), NOW + timedelta(days=1)),
        (x509.DNSName("api.example"), NOW + timedelta(days=1)),
    ],
    ids=["expired", "another address", "a name"],
)
def test_one_that_does_not_hold_is_refused_at_once(
    name: x509.GeneralName, until: datetime, authority: Authority, case_of: MakeCase
) -> None:
    with at(authority.context(name, until), case_of(Upstream([1, 2]))) as case:
        with pytest.raises(FetchError, match="its certificate does not hold"):
            count(case.reach, QUICK)
        assert case.api.requests == []


def test_one_of_an_authority_that_nobody_trusts_is_refused(
    authority: Authority, case_of: MakeCase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    context = authority.context(LOOPBACK, NOW + timedelta(days=1))
    with at(context, case_of(Upstream([1, 2]))) as case:
        with pytest.raises(FetchError, match="its certificate does not hold"):
            count(case.reach, QUICK)
        assert case.api.requests == []


def test_an_api_that_speaks_no_tls_is_refused(case_of: MakeCase) -> None:
    case = case_of(Upstream([1, 2]))
    plain = case.reach.base.copy_with(scheme="https")
    with pytest.raises(FetchError, match="or it speaks no TLS"):
        count(replace(case.reach, base=plain), QUICK)
    assert case.api.requests == []
