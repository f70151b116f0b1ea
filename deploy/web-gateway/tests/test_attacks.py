"""Each attack works on the web server itself, and fails through the gateway."""

import json
from dataclasses import dataclass
from typing import Any, Final

import httpx
import pytest
import websockets.exceptions
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from tests.dagster_servers import LAUNCH, Dagster, has_launched
from tests.front import PASSWORDS, Front

EVIL: Final = "https://evil.example"
_JSON: Final = (("Content-Type", "application/json"),)
_BODY: Final = json.dumps({"query": LAUNCH}).encode()


@dataclass(frozen=True)
class Attack:
    """A request that a page elsewhere has a signed-in person's browser send.

    Attributes:
        status: What the gateway answers.
        method: The method.
        headers: On top of the person's own; None takes one away.
        query: Whether the mutation stands in the URL; else it is the JSON body.
        body: A body in its place.
    """

    status: int
    method: str = "POST"
    headers: tuple[tuple[str, str | None], ...] = ()
    query: bool = False
    body: bytes | None = None

    def send(self, client: httpx.Client) -> httpx.Response:
        """What comes back."""
        for name, value in self.headers:
            client.headers.pop(name, None)
            if value is not None:
                client.headers[name] = value
        said: dict[str, Any] = {"params": {"query": LAUNCH}} if self.query else {}
        if self.body is not None:
            said["content"] = self.body
        elif not self.query:
            said["json"] = {"query": LAUNCH}
        return client.request(self.method, "/graphql", **said)


def _smuggled(content_type: str) -> Attack:
    """JSON under a type for which a browser does not ask the server before."""
    return Attack(415, headers=(("Content-Type", content_type),), body=_BODY)


ATTACKS: Final = {
    "a mutation by GET": Attack(405, "GET", query=True),
    "a form without a body, the mutation in the URL": Attack(
        415, headers=(("Content-Type", "text/plain"),), query=True
    ),
    "no type at all": Attack(415, query=True),
    "a form": Attack(
        415, headers=(("Content-Type", "application/x-www-form-urlencoded"),), query=True
    ),
    "a type that is taken for JSON": _smuggled("text/plain; x=application/json"),
    "a type that ends like JSON": _smuggled("multipart/form-data; boundary=application/json"),
    "a bare document": Attack(
        415, headers=(("Content-Type", "application/graphql"),), body=LAUNCH.encode()
    ),
    "JSON, and a query in the URL": Attack(400, headers=_JSON, query=True, body=_BODY),
    "a foreign origin": Attack(403, headers=(("Origin", EVIL),)),
    "an origin that hides": Attack(403, headers=(("Origin", "null"),)),
    "no origin": Attack(403, headers=(("Origin", None),)),
    "our host under another scheme": Attack(403, headers=(("Origin", "http://localhost"),)),
    "our name at another port": Attack(403, headers=(("Origin", "https://localhost:1"),)),
    "a name that begins as ours": Attack(403, headers=(("Origin", "https://localhost.evil"),)),
    "a browser that says where from": Attack(403, headers=(("Sec-Fetch-Site", "cross-site"),)),
    "a neighbour of the same site": Attack(403, headers=(("Sec-Fetch-Site", "same-site"),)),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_forged_launch(dagster: Dagster, front: Front, attack: Attack) -> None:
    before = dagster.count_runs()
    with dagster.client() as client:
        assert has_launched(attack.send(client))
    assert dagster.count_runs() == before + 1

    with front.client("bob") as client:
        assert attack.send(client).status_code == attack.status
    assert dagster.count_runs() == before + 1


def test_the_same_launch_from_our_own_page(dagster: Dagster, front: Front) -> None:
    """What is refused above is refused for what it is, and not because nothing passes."""
    before = dagster.count_runs()
    with front.client("bob") as client:
        client.headers["Sec-Fetch-Site"] = "same-origin"
        answer = client.post("/graphql?op=LaunchRun", json={"query": LAUNCH})
        assert has_launched(answer), answer.text
    assert dagster.count_runs() == before + 1


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_no_other_method(front: Front, method: str) -> None:
    with front.client("bob") as client:
        answer = client.request(method, "/graphql")
    assert answer.status_code == 405
    if method != "TRACE":  # nginx itself answers that one
        assert answer.headers["allow"] == "POST"


def test_a_socket_from_elsewhere(dagster: Dagster, front: Front) -> None:
    """A page elsewhere could read events by it: no rule of browsers keeps sockets at home."""
    assert _speaks(f"ws://{dagster.web}/graphql", EVIL)
    place = f"wss://localhost:{front.operators.port}/graphql"
    for origin in (EVIL, "null", "https://localhost", None):
        with pytest.raises(websockets.exceptions.InvalidStatus, match="403"):
            _speaks(place, origin, front)
    assert _speaks(place, f"https://localhost:{front.operators.port}", front)


def test_a_socket_anywhere_else(front: Front) -> None:
    origin = f"https://localhost:{front.operators.port}"
    with pytest.raises(websockets.exceptions.InvalidStatus) as caught:
        _speaks(f"wss://localhost:{front.operators.port}/logs/x", origin, front)
    assert caught.value.response.status_code in {403, 404}


def _speaks(place: str, origin: str | None, front: Front | None = None) -> bool:
    """Whether Dagster answers on a socket: bob's, where it leads through a gateway."""
    more: dict[str, Any] = {}
    if front is not None:
        said = httpx.BasicAuth("bob", PASSWORDS["bob"])
        request = next(said.sync_auth_flow(httpx.Request("GET", "http://x")))
        more["additional_headers"] = {"Authorization": request.headers["Authorization"]}
        more["ssl"] = front.operators.trust
    with connect(
        place,
        origin=None if origin is None else Origin(origin),
        subprotocols=[Subprotocol("graphql-ws")],
        open_timeout=20,
        proxy=None,
        **more,
    ) as socket:
        socket.send('{"type": "connection_init"}')
        return "connection_ack" in str(socket.recv(timeout=20))


def test_an_event_that_never_happened(dagster: Dagster, front: Front) -> None:
    """It would stand in an asset's history beside those of runs."""
    path = "/report_asset_materialization/user_logins"
    with dagster.client() as client:
        assert client.post(path).status_code == 200
    with front.client("alice") as client:
        assert client.post(path).status_code == 404


def test_it_cannot_be_framed(dagster: Dagster, front: Front) -> None:
    with dagster.client() as client:
        own = client.get("/assets").headers
    assert "x-frame-options" not in own
    assert "frame-ancestors" not in own["content-security-policy"]

    with front.client("bob") as client:
        answers = [client.get("/assets"), client.get("/nowhere"), client.get("/graphql")]
    for answer in answers:
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers.get_list("content-security-policy")
    policies = answers[0].headers.get_list("content-security-policy")
    assert len(policies) == 2
    assert policies[0].partition("nonce")[0] == own["content-security-policy"].partition("nonce")[0]


@pytest.mark.parametrize("destination", ["iframe", "embed", "script", "image"])
def test_another_site_can_load_nothing_of_ours(
    dagster: Dagster, front: Front, destination: str
) -> None:
    mode = "navigate" if destination == "iframe" else "no-cors"
    asked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
    with dagster.client() as client:
        assert client.get("/runs", headers=asked).status_code == 200
    with front.client("bob") as client:
        assert client.get("/runs", headers=asked).status_code == 403
        clicked = asked | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert client.get("/runs", headers=clicked).status_code == 200
