"""Private addresses are refused after the name was looked up, and the connection keeps to them."""

import socket
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from pipeline.errors import FetchError, SettingsError
from pipeline.produce.fetch.addresses import is_permitted, on_host
from pipeline.produce.fetch.planning import count
from pipeline.produce.fetch.reach import PRIVATE, Reach
from pipeline.resources.outside import Outside
from pipeline_tests.fetch_case import LOOPBACK, QUICK
from pipeline_tests.fetch_fixtures import MakeCase
from pipeline_tests.samples import outside
from pipeline_tests.upstream import Upstream

PUBLIC: Final = (
    "1.1.1.1",
    "185.199.108.153",
    "2606:4700:4700::1111",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
)
NOT_PUBLIC: Final = (
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104 - an address to refuse
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "::127.0.0.1",
    "fec0::1",
    "fe00::1",
    "200::1",
    "4000::1",
    "64:ff9b:1::a00:1",
)


class TestPublic:
    """Which addresses are."""

    def test_a_public_address_is_permitted(self) -> None:
        assert all(is_permitted(ip_address(each), ()) for each in PUBLIC)

    @pytest.mark.parametrize("address", NOT_PUBLIC)
    def test_any_other_is_not(self, address: str) -> None:
        assert not is_permitted(ip_address(address), ())

    def test_but_where_its_network_is_named(self) -> None:
        networks = (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))
        assert is_permitted(ip_address("10.1.2.3"), networks)
        assert is_permitted(ip_address("::ffff:10.1.2.3"), networks)
        assert is_permitted(ip_address("fd00::7"), networks)
        assert not is_permitted(ip_address("10.2.0.1"), networks)
        assert not is_permitted(ip_address("::1"), networks)


class TestConnecting:
    """Faults 80 and 83."""

    def test_an_api_at_a_private_address_is_not_asked(self, case_of: MakeCase) -> None:
        case = case_of(Upstream([1]))
        with pytest.raises(FetchError, match="leads to an address that is not public"):
            count(replace(case.reach, private=()), QUICK)
        assert case.api.requests == []

    def test_nor_at_a_name_that_leads_there(
        self, case_of: MakeCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = case_of(Upstream([1]))
        monkeypatch.setattr(socket, "getaddrinfo", Resolver(["1.1.1.1", "127.0.0.1"]))
        named = case.reach.base.copy_with(host="api.example")
        with pytest.raises(FetchError, match="leads to an address that is not public"):
            count(replace(case.reach, base=named, private=()), QUICK)
        assert case.api.requests == []

    def test_a_name_is_looked_up_once_and_the_connection_goes_where_it_led(
        self, case_of: MakeCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """DNS rebinding: the second answer would lead to a server inside."""
        case = case_of(Upstream([1]))
        asked = Resolver(["127.0.0.1"], ["127.0.0.9"])
        monkeypatch.setattr(socket, "getaddrinfo", asked)
        reach = replace(case.reach, base=case.reach.base.copy_with(host="api.example"))
        assert count(reach, QUICK) == 1
        assert asked.hosts == ["api.example"]

    def test_a_second_address_is_tried_where_the_first_does_not_answer(
        self, case_of: MakeCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = case_of(Upstream([1]))
        monkeypatch.setattr(socket, "getaddrinfo", Resolver(["127.0.0.9", "127.0.0.1"]))
        reach = replace(case.reach, base=case.reach.base.copy_with(host="api.example"))
        assert count(reach, QUICK) == 1

    def test_a_name_that_leads_nowhere_is_tried_again_and_then_told(
        self, case_of: MakeCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        case = case_of(Upstream([1]))
        asked = Resolver(["127.0.0.9"], ["127.0.0.9"], ["127.0.0.9"])
        monkeypatch.setattr(socket, "getaddrinfo", asked)
        reach = replace(case.reach, base=case.reach.base.copy_with(host="api.example"))
        with pytest.raises(FetchError, match=r"cannot be had \(connect\)"):
            count(reach, QUICK)
        assert len(asked.hosts) == QUICK.attempts

    def test_a_proxy_of_the_environment_is_not_used(
        self, case_of: MakeCase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It would look the name up by itself."""
        case = case_of(Upstream([1]))
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
        assert count(case.reach, QUICK) == 1


@pytest.fixture
def nowhere(tmp_path: Path) -> Outside:
    """An outside world that nobody reaches for."""
    return outside("http://127.0.0.1:1", "postgresql://127.0.0.1:1/none", tmp_path)


class TestSettings:
    """What the deployment may say."""

    def test_another_address_and_private_networks(self, nowhere: Outside) -> None:
        environment = {
            "PIPELINE_SOURCE_POKEAPI_URL": "http://127.0.0.1:8000/api/v2/",
            PRIVATE: "127.0.0.0/8, fd00::/8",
        }
        reach = Reach.of(nowhere, QUICK, environment)
        assert reach.base == httpx.URL("http://127.0.0.1:8000/api/v2/")
        assert reach.private == (*LOOPBACK, ip_network("fd00::/8"))

    def test_none_of_it_leads_to_the_source_as_it_is_declared(self, nowhere: Outside) -> None:
        reach = Reach.of(nowhere, QUICK, {})
        assert (str(reach.base), reach.private) == ("https://pokeapi.co/api/v2/", ())

    @pytest.mark.parametrize(
        "address",
        [
            "pokeapi.co",
            "ftp://x/",
            "http:///",
            "http://x/api",
            "http://x:y/",
            "http://ann:secret@x/",
            "http://xn--/",
        ],
    )
    def test_what_is_no_address_is_refused(self, address: str, nowhere: Outside) -> None:
        with pytest.raises(SettingsError, match="PIPELINE_SOURCE_POKEAPI_URL") as caught:
            Reach.of(nowhere, QUICK, {"PIPELINE_SOURCE_POKEAPI_URL": address})
        assert address not in str(caught.value)

    def test_what_is_no_network_is_refused(self, nowhere: Outside) -> None:
        with pytest.raises(SettingsError, match=PRIVATE):
            Reach.of(nowhere, QUICK, {PRIVATE: "localhost"})


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("/x/1/", "https://api.example/x/1/"),
        ("1/?a=b#c", "https://api.example/v2/1/?a=b"),
        ("../1/", "https://api.example/1/"),
        ("https://API.example:443/x", "https://api.example/x"),
        ("http://api.example/x", None),
        ("https://api.example:444/x", None),
        ("https://api.example.org/x", None),
        ("https://u:p@api.example/x", None),
        ("https://xn--/", None),
        ("https:////[]", None),
        (r"https://evil.example\@api.example/x", None),
    ],
)
def test_an_address_is_on_the_host_or_it_is_none(address: str, found: str | None) -> None:
    base = httpx.URL("https://api.example/v2/")
    url = on_host(base, base, address)
    assert url == (None if found is None else httpx.URL(found))


class Resolver:
    """Answers one look-up of a name after the other."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self._real = socket.getaddrinfo
        self.hosts: list[str] = []

    def __call__(self, host: str, port: int, *given: Any, **named: Any) -> list[Any]:  # noqa: ANN401 - as the standard library hands them on
        if host != "api.example":
            return self._real(host, port, *given, **named)
        self.hosts.append(host)
        found = self._answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found]
