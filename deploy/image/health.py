"""Tells whether what runs in this container does its work: the image's HEALTHCHECK.

It looks at the container's own command, so no service needs a setting for it. A command that is no
server is well for as long as it runs. The entry point starts it, since the daemon's check needs the
settings that come from files.
"""

import http.client
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

SECONDS: Final = 10.0
# Dagster's own default is half an hour. A daemon notes a sign of life every 30 seconds.
DAEMON_SECONDS: Final = "300"

# A check gets the port that it knocks at, and tells what is the matter, or nothing.
Check = Callable[[int], str | None]


def of_http(path: str) -> Check:
    """A check that wants a page with status 200."""

    def check(port: int) -> str | None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"{path} at port {port}: {type(error).__name__}"
        finally:
            connection.close()
        return None if status == http.HTTPStatus.OK else f"{path} at port {port}: {status}"

    return check


def of_code_server(port: int) -> str | None:
    """The check of `dagster api grpc-health-check`, without three seconds of imports."""
    import grpc  # type: ignore[import-untyped] # noqa: PLC0415 - a fifth of a second that the others need not spend
    from grpc_health.v1 import (  # type: ignore[import-untyped] # noqa: PLC0415
        health_pb2,
        health_pb2_grpc,
    )

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service="DagsterApi")
        try:
            status = stub.Check(asked, timeout=SECONDS).status
        except grpc.RpcError as error:
            return f"code server at port {port}: {error.code().name}"
    if status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"code server at port {port} does not serve"


def of_daemon(_port: int) -> str | None:
    """Dagster's own check, in this process's place: it reads the signs of life in its database."""
    os.environ.setdefault("DAGSTER_DAEMON_HEARTBEAT_TOLERANCE", DAEMON_SECONDS)
    os.execvp("dagster-daemon", ["dagster-daemon", "liveness-check"])  # noqa: S606, S607 - PATH is the image's


# The words that a command has, one after the other; its port if it names none; its check. Alive,
# not ready: ECS and Swarm replace what is not well, and no new process brings a queue back.
SERVERS: Final[tuple[tuple[tuple[str, ...], int, Check], ...]] = (
    (("dagster-webserver",), 3000, of_http("/server_info")),
    (("dagster", "code-server", "start"), 4000, of_code_server),
    (("dagster", "api", "grpc"), 4000, of_code_server),
    (("dagster-daemon", "run"), 0, of_daemon),
    (("pipeline", "serve"), 8080, of_http("/healthz")),
    (("pipeline", "exporter"), 9400, of_http("/healthz")),
)


def chosen(command: Sequence[str]) -> tuple[Check, int] | None:
    """The check of a command and its port; none for what is no server."""
    names = [Path(word).name for word in command]
    for words, port, check in SERVERS:
        length = len(words)
        for start in range(len(names) - length + 1):
            if tuple(names[start : start + length]) == words:
                return check, _port(command[start + length :], port)
    return None


def _port(options: Sequence[str], default: int) -> int:
    following = iter(options)
    for option in following:
        name, equals, value = option.partition("=")
        if name in {"-p", "--port"}:
            return int(value if equals else next(following))
    return default


def main(command: Sequence[str]) -> int:
    """Checks what runs by this command; without one, by the command of the container.

    Returns:
        0 if it is well, else 1.
    """
    if not command:
        command = Path("/proc/1/cmdline").read_bytes().decode(errors="replace").split("\0")
    found = chosen(command)
    if not found:
        return 0
    check, port = found
    matter = check(port)
    if matter:
        sys.stderr.write(f"health: {matter}\n")
    return int(matter is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
