"""Stands in for LocalStack, which is not to be had from PyPI at a bearable size: moto, as a server.

    python -m deploy.compose.tests.stand_in

It answers on the port that the compose file names, with the page that its health check asks for.
"""

import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

HEALTH = "/_localstack/health"
PORT = 4566


def with_health(
    moto: Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]],
) -> Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]:
    """An application that answers LocalStack's health check, and hands the rest on."""

    def answer(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environment.get("PATH_INFO") == HEALTH:
            start("200 OK", [("Content-Type", "application/json")])
            return [b"{}"]
        return moto(environment, start)

    return answer


def main() -> None:
    """Serves until it is ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    moto: Any = DomainDispatcherApplication(create_backend_app)
    sys.stdout.write("serving\n")
    run_simple("0.0.0.0", PORT, with_health(moto), threaded=True)  # noqa: S104 - of a namespace of its own


if __name__ == "__main__":
    main()
