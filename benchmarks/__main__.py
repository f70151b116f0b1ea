"""Runs the benchmarks: `make bench`, with ARGS="drain --messages 20000" for one of other size."""

import typer

from benchmarks.drain import drain
from benchmarks.masking import masking

app = typer.Typer(add_completion=False)
app.command()(drain)
app.command()(masking)


@app.callback(invoke_without_command=True)
def every(context: typer.Context) -> None:
    """Measurements, side by side in one run; all of them where none is named."""
    if context.invoked_subcommand is None:
        masking()
        drain()


app()
