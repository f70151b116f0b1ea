"""The command: what may be asked for, and the status that says whether everything held."""

import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from chaos.report import Order
from chaos.run import ChaosRun

app = typer.Typer(add_completion=False)


@app.command()
def chaos(  # noqa: PLR0917 - typer names them all
    minutes: Annotated[float, typer.Option(min=0.5, help="Of faults; the drain follows.")] = 3.0,
    seed: Annotated[int | None, typer.Option(help="Fixes traffic and faults; else any.")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Messages a second.")] = 170.0,
    drain_minutes: Annotated[
        float, typer.Option(min=1, help="In which the backlog must be gone.")
    ] = 75.0,
    report: Annotated[Path | None, typer.Option(help="Write the report here.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep everything here: a new folder.")] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Report in JSON.")] = False,
) -> None:
    """Send, break and mend for some minutes, drain, and report; the status is 1 if anything is off.

    Example: python -m chaos --minutes 60 --seed 7 --report hour.md
    """
    signal.signal(signal.SIGTERM, _leave)
    seed = secrets.randbelow(10**6) if seed is None else seed
    print(f"seed {seed}", flush=True)
    order = Order(
        minutes=minutes,
        seed=seed,
        rate=rate,
        drain_minutes=drain_minutes,
        command=f"python -m chaos {' '.join(sys.argv[1:])}",
    )
    with tempfile.TemporaryDirectory(prefix="pipeline-chaos-") as folder:
        root = Path(folder) if keep is None else keep
        root.mkdir(mode=0o700, exist_ok=True)
        result = ChaosRun(order, root).run()
    text = result.to_json() if json else result.to_markdown()
    print(text)
    if report is not None:
        report.write_text(text)
    raise typer.Exit(0 if result.holds else 1)


def _leave(*_: object) -> NoReturn:
    """Lets the end of every process be seen to."""
    raise SystemExit(143)
