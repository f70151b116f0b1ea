"""What goes on to Dagster: the routes that are named, and of the headers those that are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import dagster_webserver
import pytest
from dagster_webserver.webserver import DagsterWebserver
from starlette.routing import Mount

from deploy.gateway.tests.upstream import Upstream, upstream
from tests.front import FOLDER, Front, web_gateway

PACKAGE: Final = Path(dagster_webserver.__file__).parent
PASSED: Final = {
    "accept",
    "accept-encoding",
    "content-length",
    "content-type",
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-role",
    "x-forwarded-user",
    "x-request-id",
}
DECIDED: Final = {
    "/": "the UI",
    "/{path:path}": "the UI",
    "/graphql": "queries",
    "/_next": "files of the UI, /_next/static",
    "/favicon.ico": "the UI",
    "/favicon.png": "the UI",
    "/favicon.svg": "the UI",
    "/favicon-run-failed.svg": "the UI",
    "/favicon-run-pending.svg": "the UI",
    "/favicon-run-success.svg": "the UI",
    "/manifest.json": "the UI",
    "/robots.txt": "the UI",
    "/Dagster_world.mp4": "the UI",
    "/vendor": "admins, /vendor/graphiql",
    "/logs/{path:path}": "admins",
    "/download_debug/{run_id:str}": "admins",
    "/server_info": None,
    "/dagit_info": None,
    "/404.html": None,
    "/index.html": None,
    "/csp-header.txt": None,
    "/notebook": None,
    "/dagit/notebook": None,
    "/report_asset_materialization/{asset_key:path}": None,
    "/report_asset_check/{asset_key:path}": None,
    "/report_asset_observation/{asset_key:path}": None,
}
"""Every route of Dagster's web server, and for whom it is; None: for nobody outside."""


@pytest.fixture(scope="module")
def noted() -> Iterator[tuple[Front, Upstream]]:
    """A gateway before a server that notes what reaches it."""
    with upstream() as (service, place), web_gateway(place, place) as front:
        yield front, service


def test_every_route_of_dagsters_is_decided() -> None:
    """A new release with a route more fails here, and not in production."""

    class Routes(DagsterWebserver[Any, Any]):
        def build_graphql_schema(self) -> Any:  # noqa: ANN401 - not looked at
            return None

    routes = Routes(None).build_routes()  # type: ignore[no-untyped-call] # Dagster has no type there
    assert {each.path for each in routes} == set(DECIDED)
    assert {each.path for each in routes if isinstance(each, Mount)} == {"/_next", "/vendor"}


def test_every_page_of_the_ui_is_known() -> None:
    """The UI answers all of its paths by itself: those that its code names, a reload must find."""
    scripts = (PACKAGE / "webapp/build/_next/static/chunks").rglob("*.js")
    named = set[str]()
    for each in scripts:
        text = each.read_text()
        for listed in re.findall(r'\bpath:(\[[^\]]*\]|"[^"]*")', text):
            named |= set(re.findall(r'"/([a-z][a-z_-]*)', listed))
        named |= set(re.findall(r'\bto:"/([a-z][a-z_-]*)', text))
    inner = {"graphs", "partitions", "playground"}  # below a job, or of another router
    (pages,) = re.findall(r"\(\?:\(\?:(assets\|[a-z|-]+)\)", _template())
    assert len(named) > 10
    assert named - inner <= set(pages.split("|"))


def _template() -> str:
    return (FOLDER / "nginx.conf.template").read_text()


@pytest.mark.parametrize(
    ("path", "arrives"),
    [
        ("/", "/"),
        ("/assets", "/"),
        ("/assets/user_logins?view=lineage", "/"),
        ("/assets/a%2Fb%20c", "/"),
        ("/runs/0f0f", "/"),
        ("/favicon-run-failed.svg", "/favicon-run-failed.svg"),
        ("/_next/static/media/tool-w&b-color.dd51f747.svg", None),
        ("/_next/static/chunks/../chunks/a.js", "/_next/static/chunks/a.js"),
        ("/manifest.json?x", "/manifest.json"),
    ],
)
def test_what_is_named_arrives(
    noted: tuple[Front, Upstream], path: str, arrives: str | None
) -> None:
    front, service = noted
    service.requests.clear()
    with front.client("bob") as client:
        assert client.get(path).status_code == 202
    assert [each.target for each in service.requests] == [arrives or path]


@pytest.mark.parametrize(
    "path",
    [
        "/report_asset_materialization/user_logins",
        "/report_asset_check/user_logins",
        "/report_asset_observation/user_logins",
        "/notebook?path=x.ipynb&repoLocName=y",
        "/dagit/notebook",
        "/server_info",
        "/csp-header.txt",
        "/index.html",
        "/metrics",
        "/assets/../server_info",
        "/assets/%2e%2e/server_info",
        "/assets/..%2fserver_info",
        "//server_info",
        "/%73erver_info",
        "/_next/static/../../server_info",
        "/_next/static/..%2f..%2fserver_info",
        "/_next/data/x.json",
        "/logs",
        "/.who",
        "/.graphiql",
        "/.sign-in",
        "/.problem",
        "/oauth2/start",
        "/oauth2/auth",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_does(noted: tuple[Front, Upstream], path: str, method: str) -> None:
    front, service = noted
    service.requests.clear()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Authorization: Basic YWxpY2U6Y29ycmVjdC1ob3JzZS0x\r\nContent-Length: 0\r\n\r\n"
    )
    answer = front.operators.send(head.encode())
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 405 ", b"HTTP/1.1 400 ")), answer
    assert not service.requests


def test_a_way_round_to_logs_is_the_way_to_logs(noted: tuple[Front, Upstream]) -> None:
    """Nothing is sent on as it came: Starlette would take an encoded slash for one."""
    front, service = noted
    service.requests.clear()
    with front.client("bob") as client:
        assert client.get("/logs/x/..%2f..%2fassets").status_code == 202
        assert client.get("/assets/..%2flogs/x").status_code == 403
    assert [each.target for each in service.requests] == ["/"]


def test_headers_are_let_through_by_name(noted: tuple[Front, Upstream]) -> None:
    front, service = noted
    service.requests.clear()
    claimed = {
        "X-Forwarded-User": "alice",
        "X-Forwarded-Role": "admin",
        "X-Forwarded-For": "192.0.2.66",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Email": "alice",
        "X-Auth-Request-Email": "alice",
        "X-Auth-Request-User": "alice",
        "X-Remote-User": "alice",
        "X-Amzn-Oidc-Data": "alice",
        "X-Goog-Authenticated-User-Email": "alice",
        "Remote-User": "alice",
        "Forwarded": "for=192.0.2.66",
        "Cookie": "session=alice",
        "Dagster-Anything": "evil",
        "Upgrade": "",
    }
    with front.client("bob") as client:
        client.headers.update(claimed)
        assert client.post("/graphql", json={"query": "{ version }"}).status_code == 202
    (request,) = service.requests
    assert set(request.headers) <= PASSED
    assert request.headers["x-forwarded-user"] == ["bob"]
    assert request.headers["x-forwarded-role"] == ["operator"]
    assert request.headers["x-forwarded-for"] == ["127.0.0.1"]
    assert request.headers["content-type"] == ["application/json"]
    said = json.dumps(request.headers)
    for word in ("alice", "evil", "192.0.2.66", "correct-horse"):
        assert word not in said


def test_another_host_is_refused(noted: tuple[Front, Upstream]) -> None:
    """So that a name of somebody else's, led to our address, is not our origin."""
    front, _ = noted
    with front.client("bob") as client:
        answer = client.get("/assets", headers={"Host": "evil.example"})
    assert answer.status_code == 421
