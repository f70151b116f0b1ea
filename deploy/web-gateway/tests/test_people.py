"""Who gets in, by which door, and what each may."""

import json
import subprocess

import httpx
import pytest

from tests.dagster_servers import LAUNCH, Dagster, has_launched
from tests.front import PASSWORDS, Front, crypt, web_gateway

CANARY = "canary-5d1f"


def launch(client: httpx.Client) -> httpx.Response:
    return client.post("/graphql", json={"query": LAUNCH})


@pytest.mark.parametrize("path", ["/", "/assets", "/graphql", "/_next/static/x.js"])
def test_without_a_password_nobody_sees_anything(dagster: Dagster, front: Front, path: str) -> None:
    with dagster.client() as client:
        assert client.get(path, headers={"Accept": "text/html"}).status_code in {200, 404}
    with front.client(None) as client:
        answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="Dagster"'
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("bob", "wrong"),
        ("bob", ""),
        ("bob", PASSWORDS["alice"]),
        ("nobody", "wrong"),
        ("", ""),
        ("BOB", PASSWORDS["bob"]),
    ],
)
def test_a_wrong_password_is_none(dagster: Dagster, front: Front, name: str, password: str) -> None:
    before = dagster.count_runs()
    with front.client(None) as client:
        client.auth = httpx.BasicAuth(name, password)
        assert client.get("/assets").status_code == 401
        assert launch(client).status_code == 401
    assert dagster.count_runs() == before


def test_whom_the_roles_do_not_name_may_nothing(front: Front) -> None:
    for viewers in (False, True):
        with front.client("dave", viewers=viewers) as client:
            for path in ("/", "/assets", "/favicon.svg"):
                assert client.get(path).status_code == 403
            assert launch(client).status_code == 403


def test_a_viewer_sees_all_and_starts_nothing(dagster: Dagster, front: Front) -> None:
    before = dagster.count_runs()
    with dagster.client() as client:
        assert has_launched(launch(client))  # whoever reaches the web server may
    with front.client("carol", viewers=True) as client:
        assert client.get("/assets").status_code == 200
        assert client.post("/graphql", json={"query": "{ version }"}).json()["data"]["version"]
        refused = launch(client).json()["data"]["launchRun"]
    assert refused["__typename"] == "UnauthorizedError"
    assert dagster.count_runs() == before + 1


def test_a_viewer_does_not_get_in_by_the_other_door(dagster: Dagster, front: Front) -> None:
    before = dagster.count_runs()
    with front.client("carol") as client:
        assert client.get("/assets").status_code == 403
        assert launch(client).status_code == 403
    assert dagster.count_runs() == before


@pytest.mark.parametrize("person", ["alice", "bob"])
def test_the_viewers_door_is_read_only_for_all(dagster: Dagster, front: Front, person: str) -> None:
    before = dagster.count_runs()
    with front.client(person, viewers=True) as client:
        assert not has_launched(launch(client))
    with front.client(person) as client:
        assert has_launched(launch(client))
    assert dagster.count_runs() == before + 1


@pytest.mark.parametrize(
    "path", ["/graphql", "/vendor/graphiql/graphiql.min.js", "/logs/a/compute_logs/b.out"]
)
def test_only_an_admin_has_the_tools(front: Front, path: str) -> None:
    headers = {"Accept": "text/html"}
    with front.client("alice") as client:
        answer = client.get(path, headers=headers)
        assert answer.status_code in {200, 404}
        assert "problem" not in answer.headers["content-type"]  # Dagster's own answer
    for person, viewers in (("bob", False), ("carol", True), ("alice", True)):
        with front.client(person, viewers=viewers) as client:
            assert client.get(path, headers=headers).status_code == 403


def test_graphiql_is_shown_and_never_runs_a_query(dagster: Dagster, front: Front) -> None:
    before = dagster.count_runs()
    with front.client("alice") as client:
        page = client.get("/graphql", headers={"Accept": "text/html"})
        assert "GraphiQL" in page.text
        answer = client.get("/graphql", params={"query": LAUNCH}, headers={"Accept": "text/html"})
        assert answer.status_code == 400
    assert dagster.count_runs() == before


@pytest.mark.parametrize("way", ["-6", "-5", "-apr1", "bcrypt", "yescrypt"])
def test_formats_of_the_password_file(way: str) -> None:
    """What README.md says of them; those of `crypt` are the C library's."""
    hashes = {
        "bcrypt": "$2b$05$zCQf.OA3zJdugoel6lupA.p.5YQPD5qumCrZR4q3Yt828mzODrG8C",
        "yescrypt": "$y$j9T$abcdefgh12345678$YRscFHhs3XDIFg5GT7.pu9lP1w/NPzlMjtpJPxqs1//",
    }
    password = "correct"  # noqa: S105 - of the hashes above
    line = (
        hashes.get(way)
        or subprocess.run(
            ["openssl", "passwd", way, password], capture_output=True, text=True, check=True
        ).stdout.strip()
    )
    with (
        web_gateway("127.0.0.1:9", "127.0.0.1:9", passwords={"bob": line}) as front,
        front.operators.client() as client,
    ):
        client.auth = httpx.BasicAuth("bob", password)
        assert client.get("/assets").status_code == 502
        client.auth = httpx.BasicAuth("bob", password + "x")
        assert client.get("/assets").status_code == 401


def test_the_passwords_file_counts_at_once(front: Front) -> None:
    file = front.operators.folder / "passwords"
    kept = file.read_text()
    try:
        with front.client("bob") as client:
            assert client.get("/assets").status_code == 200
            lines = [line for line in kept.splitlines() if not line.startswith("bob:")]
            file.write_text("\n".join([*lines, f"bob:{crypt('another')}", ""]))
            assert client.get("/assets").status_code == 401
    finally:
        file.write_text(kept)


def test_the_log_tells_who_and_nothing_of_what(front: Front) -> None:
    with front.client("bob") as client:
        client.headers["X-Request-Id"] = "about-the-log"
        client.headers["User-Agent"] = CANARY
        client.headers["Referer"] = f"https://{CANARY}.example"
        client.post(f"/graphql?op={CANARY.replace('-', '_')}", json={"query": f"{{{CANARY}}}"})
        client.get(f"/assets/{CANARY}?{CANARY}")
        client.auth = httpx.BasicAuth(CANARY, CANARY)
        client.get("/assets")
    lines = front.operators.log()
    ours = [line for line in lines if line["request_id"] == "about-the-log"]
    assert [(each["person"], each["role"], each["route"], each["status"]) for each in ours] == [
        ("bob", "operator", "/graphql", 400),
        ("bob", "operator", "/assets", 200),
        ("-", "", "/assets", 401),
    ]
    said = json.dumps(lines)
    assert "canary" not in said
    assert "127.0.0.1" not in said
    assert "correct-horse" not in said
