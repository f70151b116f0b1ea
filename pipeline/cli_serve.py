"""The command of those who run the REST service: serve."""

import os
import sys
from typing import Annotated

import typer

from pipeline import feeds, log_lines
from pipeline.errors import SettingsError

app = typer.Typer()


@app.command()
def serve(  # noqa: PLR0917 - typer names them all
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8080,
    linger_ms: Annotated[
        float, typer.Option(min=0, max=1_000, help="How long a message waits for company.")
    ] = 5.0,
    per_call: Annotated[
        int, typer.Option(min=1, max=10, help="Messages of one call of SQS; 1 gathers none.")
    ] = 10,
    calls: Annotated[
        int, typer.Option(min=1, max=64, help="Calls of SQS that are under way at once.")
    ] = 8,
    pending: Annotated[
        int, typer.Option(min=1_000, help="Messages that may wait; beyond, 503.")
    ] = 4_000,
    pending_bytes: Annotated[
        int, typer.Option(min=2**20, help="Bytes that may wait; beyond, 503.")
    ] = 64 * 2**20,
    batch_bytes: Annotated[int, typer.Option(min=2**20, help="Bytes of a batch; beyond, 413.")] = 10
    * 2**20,
    *,
    docs: Annotated[
        bool, typer.Option("--docs/--no-docs", help="Pages about the API, and its OpenAPI.")
    ] = True,
) -> None:
    """Serve the REST API: events come in over HTTP, and are answered once they are on the queue.

    Without PIPELINE_API_KEYS it listens on loopback only.

    Example: pipeline serve --port 8080
    """
    try:
        from pipeline.produce.rest import app as web  # noqa: PLC0415 - late, as in pipeline.cli
        from pipeline.produce.rest import server, settings  # noqa: PLC0415
        from pipeline.produce.rest.limits import Limits  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"{error.name} is not installed",
            remedy="Install the extra: `make setup`, or pip install '.[serve]' in the checkout",
        ) from None

    log_lines.install(os.environ, "%(levelname)s %(name)s: %(message)s")
    limits = Limits(
        linger_seconds=linger_ms / 1_000,
        per_call=per_call,
        calls=calls,
        pending_messages=pending,
        pending_bytes=max(pending_bytes, batch_bytes),
        batch_bytes=batch_bytes,
    )
    service = settings.build_service(os.environ, feeds.discover(), limits)
    settings.check_host(host, service)
    listener = server.listen(host, port)
    application = web.create_app(service)
    if docs:
        web.add_docs(application, service)
    address, taken = listener.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    sys.stderr.write(f"listening on http://{shown}:{taken}\n")
    if service.senders is None:
        sys.stderr.write("no API keys: anybody on this machine may send, nobody else\n")
    server.run(server.make_server(application, service), listener)
