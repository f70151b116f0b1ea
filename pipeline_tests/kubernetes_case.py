"""The launcher of `deploy/kubernetes/values.yaml`, and a stand-in for the cluster's API."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, cast

import dagster as dg
import pytest
from dagster_shared.yaml_utils import load_yaml_from_path
from psycopg.conninfo import conninfo_to_dict

import pipeline
from pipeline_tests.helm_chart import instance_of
from pipeline_tests.launched_runs import SECRETS

FOLDER: Final = Path(pipeline.__file__).parents[1] / "deploy" / "kubernetes"


def values() -> dict[str, Any]:
    """The values, as they are deployed."""
    return cast("dict[str, Any]", load_yaml_from_path(str(FOLDER / "values.yaml")))


@dataclass
class Api:
    """Jobs, as the API server keeps them.

    Attributes:
        jobs: Manifests as they came, by name.
        statuses: What is said of a job; that one pod of it is active, if nothing is set.
    """

    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[str, dict[str, int]] = field(default_factory=dict)

    def answer(self, method: str, path: str, body: bytes) -> Mapping[str, Any]:
        """What the server answers."""
        if path.endswith("/pods"):
            return {"kind": "PodList", "items": []}  # no node ever starts one
        name = path.rsplit("/jobs", 1)[-1].strip("/").removesuffix("/status")
        if method == "POST":
            job = cast("dict[str, Any]", json.loads(body))
            self.jobs[job["metadata"]["name"]] = job
            return job
        if method == "DELETE":
            del self.jobs[name]
            return {"kind": "Status", "status": "Success"}
        return {**self.jobs[name], "status": self.statuses.get(name, {"active": 1})}


@contextlib.contextmanager
def serving(api: Api) -> Iterator[str]:
    """The URL of a server on the loopback interface that answers for the API."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = json.dumps(api.answer(self.command, self.path.split("?")[0], body)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = _answer  # noqa: N815 - as the standard library calls it
        do_POST = _answer  # noqa: N815
        do_DELETE = _answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def deployed(
    home: Path, postgres_url: str, api_url: str, patch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """The instance of the values, but for where its database and its cluster are.

    Args:
        home: An empty folder.
        postgres_url: An empty database, in place of the one that the values name.
        api_url: The cluster's API, in place of the one of the pod's own cluster.
        patch: Whose environment becomes that of the daemon.
    """
    place = conninfo_to_dict(postgres_url)
    patch.setenv("DAGSTER_PG_PASSWORD", str(place["password"]))
    for name, value in SECRETS.items():
        patch.setenv(name, value)
    ours = values()
    ours["postgresql"] |= {
        "postgresqlHost": place["host"],
        "postgresqlUsername": place["user"],
        "postgresqlDatabase": place["dbname"],
        "postgresqlParams": {},
        "service": {"port": int(place["port"] or 5432)},
    }
    rendered = instance_of(ours)
    rendered["run_launcher"]["config"] |= {
        "load_incluster_config": False,
        "kubeconfig_file": str(write_kubeconfig(home, api_url)),
    }
    (home / "dagster.yaml").write_text(json.dumps(rendered))  # JSON is YAML
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def write_kubeconfig(home: Path, url: str) -> Path:
    """The way to an API, as `kubectl` keeps it, in a folder."""
    path = home / "kubeconfig"
    config = {
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path.write_text(json.dumps(config))
    return path
