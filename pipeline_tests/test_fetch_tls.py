"""TLS is verified, always: fault 83."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address

import httpx
import pytest
from cryptography import x509

from pipeline.errors import FetchError
from pipeline.produce.fetch.planning import count
from pipeline_tests.authority import LOOPBACK, NOW, Authority, authority
from pipeline_tests.fetch_case import QUICK, Case
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.upstream import Upstream, serving

__all__ = ["authority"]


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
