"""Runs the benchmarks: `make bench`, with ARGS="drain --messages 20000" for one of other size."""

import typer

from benchmarks.drain import drain
from benchmarks.enrich import enrich
from benchmarks.masking import masking
from benchmarks.peers import peers
from benchmarks.queue import queue
from benchmarks.serve import serve
from benchmarks.transport import transport

app = typer.Typer(add_completion=False)
app.command()(drain)
app.command()(enrich)
app.command()(masking)
app.command()(peers)
app.command()(queue)
app.command()(serve)
app.command()(transport)


@app.callback(invoke_without_command=True)
def every(context: typer.Context) -> None:
    """Measurements, side by side in one run; all of them where none is named."""
    if context.invoked_subcommand is None:
        masking()
        drain()
        enrich()
        queue()
        serve()
        transport()
        peers()


app()
