"""Signing in by oauth2-proxy: a stand-in that keeps its contract."""

from collections.abc import Iterator
from typing import Final

import httpx
import pytest

from deploy.gateway.tests.upstream import Upstream, upstream
from tests.browser import browser
from tests.front import FOLDER, Front, web_gateway
from tests.sign_in import FORGERY, SESSION, SignIn, sign_in

NAVIGATES: Final = {
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
    "Accept": "text/html",
}


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Front, SignIn, Upstream]]:
    """A gateway with the stand-in, before a server that notes what reaches it."""
    with (
        upstream() as (service, place),
        sign_in() as (standing_in, proxy),
        web_gateway(place, place, sign_in="oauth2", oauth2_proxy=proxy) as front,
    ):
        yield front, standing_in, service


def signed_in(front: Front, standing_in: SignIn, person: str) -> httpx.Client:
    standing_in.sessions[f"session-of-{person}"] = person
    client = front.client(None)
    client.headers["Cookie"] = f"{SESSION}=session-of-{person}"
    return client


def test_roles_hold_as_with_passwords(doors: tuple[Front, SignIn, Upstream]) -> None:
    front, standing_in, service = doors
    service.requests.clear()
    for person, status in (("alice", 202), ("bob", 202), ("carol", 403), ("dave", 403)):
        with signed_in(front, standing_in, person) as client:
            assert client.get("/assets").status_code == status
    assert [each.headers["x-forwarded-user"] for each in service.requests] == [["alice"], ["bob"]]
    assert "cookie" not in service.requests[0].headers


def test_who_has_no_session_is_sent_to_get_one(doors: tuple[Front, SignIn, Upstream]) -> None:
    front, standing_in, service = doors
    service.requests.clear()
    with front.client(None) as client:
        answer = client.get("/runs?status=a&more=b", headers=NAVIGATES)
        assert answer.status_code == 302
        assert answer.headers["location"].startswith(f"http://{standing_in.provider}/authorize")
        assert list(standing_in._pages.values())[-1] == "/runs?status=a&more=b"  # noqa: SLF001 - the stand-in's
        (cookie,) = (
            each for each in answer.headers.get_list("set-cookie") if each.startswith(FORGERY)
        )
        assert "SameSite=Lax" in cookie  # it comes back from the provider's site
        for refused in (client.get("/assets"), client.post("/graphql", json={"query": "{a}"})):
            assert refused.status_code == 401
    assert not service.requests


def test_a_password_is_no_way_round(doors: tuple[Front, SignIn, Upstream]) -> None:
    front, standing_in, _ = doors
    standing_in.asked.clear()
    with front.client("alice") as client:
        assert client.get("/assets").status_code == 401
    assert standing_in.asked == [("/oauth2/auth", None)]


@pytest.mark.parametrize("path", ["/oauth2/auth", "/oauth2/userinfo", "/oauth2/", "/oauth2"])
def test_the_proxys_other_routes_are_for_inside(
    doors: tuple[Front, SignIn, Upstream], path: str
) -> None:
    front, standing_in, _ = doors
    with signed_in(front, standing_in, "alice") as client:
        assert client.get(path).status_code == 404


def test_a_session_that_has_ended_is_none(doors: tuple[Front, SignIn, Upstream]) -> None:
    front, standing_in, _ = doors
    with signed_in(front, standing_in, "bob") as client:
        assert client.get("/assets").status_code == 202
        standing_in.sessions.clear()
        assert client.get("/assets").status_code == 401


def test_nobody_gets_in_while_the_proxy_is_down() -> None:
    with (
        upstream() as (service, place),
        web_gateway(place, place, sign_in="oauth2", oauth2_proxy="127.0.0.1:9") as front,
        front.client("alice") as client,
    ):
        assert client.get("/assets").status_code == 500
        assert not service.requests


def test_a_browser_signs_in_and_its_session_is_strict(
    doors: tuple[Front, SignIn, Upstream],
) -> None:
    """A strict cookie does not come along when the provider's site leads back.

    Without the page that asks once more this would go round for ever.
    """
    front, standing_in, service = doors
    service.requests.clear()
    with browser() as page:
        page.open(f"https://localhost:{front.operators.port}/runs?view=all")
        page.until("document.querySelector('#back')")
        page.call("Runtime.evaluate", expression="document.querySelector('#back').click()")
        page.until("document.body.innerText.includes('noted')")
        assert page.value("location.pathname + location.search") == "/runs?view=all"
        cookies = {each["name"]: each for each in page.call("Network.getCookies")["cookies"]}
        assert cookies[SESSION]["sameSite"] == "Strict"
        assert cookies[SESSION]["httpOnly"]
        assert cookies[SESSION]["secure"]
        # A link elsewhere: the session does not come along, and one more step brings it. What
        # keeps a browser from going round is over by then: it lasts for three seconds.
        page.call("Network.deleteCookies", name="once", domain="localhost", path="/")
        page.open(f"http://{standing_in.provider}/authorize?back="
                  f"https%3A%2F%2Flocalhost%3A{front.operators.port}%2Fassets")  # fmt: skip
        page.until("document.querySelector('#back')")
        page.call("Runtime.evaluate", expression="document.querySelector('#back').click()")
        page.until("location.pathname == '/assets' && document.body.innerText.includes('noted')")
    started = [path for path, _ in standing_in.asked if path == "/oauth2/start"]
    assert len(started) <= 2
    assert {each.headers["x-forwarded-user"][0] for each in service.requests} == {"alice"}


def test_the_configuration_that_is_shown_has_what_the_gateway_builds_on() -> None:
    text = (FOLDER / "oauth2-proxy.cfg").read_text()
    for line in (
        "reverse_proxy = true",
        "set_xauthrequest = true",
        f'cookie_name = "{SESSION}"',
        'cookie_samesite = "lax"',
        "cookie_secure = true",
        "cookie_httponly = true",
    ):
        assert line in text.splitlines()
    assert "client_secret =" not in text
    assert "cookie_secret =" not in text
