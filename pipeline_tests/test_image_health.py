"""The image's health check: which check a command has, and what real servers make it say."""

import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc  # type: ignore[import-untyped]
import pytest
from grpc_health.v1 import health as grpc_health  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.image import health
from pipeline_tests.world import free_port

SERVED = {"/server_info": 200, "/healthz": 503}


class _Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(SERVED.get(self.path, 404))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server names it
        """Nothing: pytest shows what is written."""


@contextmanager
def pages() -> Iterator[int]:
    """A web server of a page that is well, and one that is not; its port."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def code_server(status: int) -> Iterator[int]:
    """What Dagster's code server has for such checks, with this status; its port."""
    servicer = grpc_health.HealthServicer()
    servicer.set("DagsterApi", status)
    server = grpc.server(ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


def asks(check: health.Check) -> str:
    """The page that a check asks for, as it says when nobody answers."""
    return str(check(free_port())).split()[0]


@pytest.mark.parametrize(
    ("command", "check", "port"),
    [
        ("dagster-webserver -h 0.0.0.0 -p 3000 -w /app/workspace.yaml", "/server_info", 3000),
        ("dagster-webserver --read-only --port 3001", "/server_info", 3001),
        ("dagster-webserver --port=3001", "/server_info", 3001),
        ("dagster-webserver", "/server_info", 3000),
        ("dagster code-server start -h 0.0.0.0 -p 4000 -m pipeline.definitions", "code", 4000),
        ("dagster api grpc -p 4001 -m pipeline.definitions", "code", 4001),
        ("dagster-daemon run -w /app/workspace.yaml", "daemon", 0),
        ("pipeline serve --host 0.0.0.0 --no-docs", "/healthz", 8080),
        ("pipeline serve --port 9000", "/healthz", 9000),
        ("pipeline exporter", "/healthz", 9400),
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        "",
        "/opt/venv/bin/python /opt/venv/bin/",
        "/sbin/docker-init -- /opt/venv/bin/python -IS /app/entry ",
    ],
)
def test_server_is_known_by_its_command(before: str, command: str, check: str, port: int) -> None:
    chosen = health.chosen((before + command).split())
    assert chosen
    found, at = chosen
    known = {"code": health.of_code_server, "daemon": health.of_daemon}
    if check in known:
        assert found is known[check]
    else:
        assert asks(found) == check
    assert at == port


@pytest.mark.parametrize(
    "command",
    ["pipeline migrate", "pipeline worker", "dagster instance migrate", "dagster-daemon", "sh", ""],
)
def test_what_is_no_server_is_well_while_it_runs(command: str) -> None:
    assert health.chosen(command.split()) is None
    assert health.main(["pipeline", "worker"]) == 0


def test_page_is_well_with_status_200_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with pages() as port:
        assert health.main(["dagster-webserver", "-p", str(port)]) == 0
        assert health.main(["pipeline", "serve", "--port", str(port)]) == 1
    assert capsys.readouterr().err == f"health: /healthz at port {port}: 503\n"


def test_server_that_is_not_there_is_not_well(capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    assert health.main(["dagster-webserver", "-p", str(port)]) == 1
    assert health.main(["dagster", "api", "grpc", "-p", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"health: /server_info at port {port}: ConnectionRefusedError\n"
        f"health: code server at port {port}: UNAVAILABLE\n"
    )


def test_code_server_is_well_while_it_serves(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["dagster", "code-server", "start", "-p"]
    with code_server(health_pb2.HealthCheckResponse.SERVING) as port:
        assert health.main([*command, str(port)]) == 0
    with code_server(health_pb2.HealthCheckResponse.NOT_SERVING) as port:
        assert health.main([*command, str(port)]) == 1
    assert capsys.readouterr().err == f"health: code server at port {port} does not serve\n"
