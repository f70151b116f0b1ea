"""TLS only, of today's versions and ciphers, and for the name in the certificate alone."""

import socket
import ssl

import pytest

from deploy.gateway.tests.conftest import Pair
from deploy.gateway.tests.nginx import read_to_end


def handshake(pair: Pair, context: ssl.SSLContext, name: str = "localhost") -> tuple[str, str]:
    """The version and the cipher on which client and gateway agree."""
    plain = socket.create_connection(("127.0.0.1", pair.gateway.port), timeout=5)
    with context.wrap_socket(plain, server_hostname=name) as connection:
        version, cipher = connection.version(), connection.cipher()
    assert version
    assert cipher
    return version, cipher[0]


def client_of(version: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks one version, with every cipher there is, and checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.maximum_version = version
    context.minimum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_1_2_and_1_3_are_spoken(pair: Pair, version: ssl.TLSVersion) -> None:
    spoken, _ = handshake(pair, client_of(version))
    assert spoken.replace(".", "_") == version.name


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("name", ["TLSv1", "TLSv1_1"])
def test_older_versions_are_not(pair: Pair, name: str) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(pair, client_of(ssl.TLSVersion[name]))


@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256"])
def test_ciphers_without_forward_secrecy_or_seal_are_refused(pair: Pair, cipher: str) -> None:
    context = client_of(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(cipher)
    with pytest.raises(ssl.SSLError):
        handshake(pair, context)


def test_a_cipher_of_1_2_seals_and_keeps_secrets(pair: Pair) -> None:
    _, cipher = handshake(pair, client_of(ssl.TLSVersion.TLSv1_2))
    assert cipher.startswith("ECDHE-")
    assert "GCM" in cipher or "CHACHA20" in cipher


def test_another_name_gets_no_certificate(pair: Pair) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        handshake(pair, client_of(ssl.TLSVersion.TLSv1_3), name="other.example")


def test_plain_http_is_refused_and_passed_nowhere(pair: Pair) -> None:
    with socket.create_connection(("127.0.0.1", pair.gateway.port), timeout=5) as connection:
        connection.sendall(b"GET /v1/feeds HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = read_to_end(connection)
    assert not answer.startswith(b"HTTP/1.1 2")
    assert b"application/problem+json" in answer
    assert not pair.service.requests
