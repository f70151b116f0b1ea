"""Runs the benchmarks: `make bench`, with ARGS="drain --messages 20000" for one of other size."""

import typer

from benchmarks.capacity import capacity
from benchmarks.drain import drain
from benchmarks.enrich import enrich
from benchmarks.growth import growth
from benchmarks.idle import idle
from benchmarks.latency import latency
from benchmarks.masking import masking
from benchmarks.peers import peers
from benchmarks.queue import queue
from benchmarks.redraw import redraw
from benchmarks.serve import serve
from benchmarks.transport import transport
from benchmarks.warm import warm
from benchmarks.whole import whole

app = typer.Typer(add_completion=False)
app.command()(capacity)
app.command()(drain)
app.command()(enrich)
app.command()(growth)
app.command()(idle)
app.command()(latency)
app.command()(masking)
app.command()(peers)
app.command()(queue)
app.command()(redraw)
app.command()(serve)
app.command()(transport)
app.command()(warm)
app.command()(whole)


@app.callback(invoke_without_command=True)
def every(context: typer.Context) -> None:
    """Measurements, side by side in one run; where none is named, all that end within minutes."""
    if context.invoked_subcommand is None:
        masking()
        drain()
        enrich()
        queue()
        serve()
        transport()
        warm()
        peers()


if __name__ == "__main__":
    app()
