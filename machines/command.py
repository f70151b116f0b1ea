"""The command: what may be asked for, and the status that says whether everything held."""

import os
import secrets
import signal
import sys
import tempfile
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from machines.addresses import MOST_MACHINES, Plan
from machines.campaign import MACHINES, Campaign, Order
from machines.network import Network, find_ip

app = typer.Typer(add_completion=False)


@app.command()
def machines(  # noqa: PLR0917 - typer names them all
    messages: Annotated[int, typer.Option(min=0, help="For each round; 0: no rounds.")] = 20_000,
    fault_messages: Annotated[
        int, typer.Option(min=0, help="For each scene of faults; 0: no faults.")
    ] = 4_000,
    warm_messages: Annotated[
        int, typer.Option(min=0, help="For each round of warm workers under Dagster; 0: none.")
    ] = 0,
    count: Annotated[
        int, typer.Option("--machines", min=MACHINES, max=MOST_MACHINES, help="How many.")
    ] = MACHINES,
    cuts: Annotated[int, typer.Option(min=0, help="At random moments, besides.")] = 8,
    seed: Annotated[int | None, typer.Option(help="Fixes traffic and cuts; else any.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write the report here too; .json for machines.")
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Report in JSON.")] = False,
) -> None:
    """Run workers in network namespaces of their own, lose and cut some; 1 if anything is off.

    It needs root, and iproute2. Example: python -m machines --messages 60000 --report long.md
    """
    ip = find_ip()
    signal.signal(signal.SIGTERM, _leave)
    seed = secrets.randbelow(10**6) if seed is None else seed
    order = Order(
        messages=messages,
        fault_messages=fault_messages,
        warm_messages=warm_messages,
        cuts=cuts,
        seed=seed,
        command=f"python -m machines {' '.join(sys.argv[1:])}".rstrip(),
    )
    with (
        tempfile.TemporaryDirectory(prefix="pipeline-machines-") as folder,
        Network(Plan(os.getpid(), count), ip) as network,
        network.in_hub(),
    ):
        result = Campaign(order, network, Path(folder)).run()
    print(result.to_json() if json else result.to_markdown())
    if report is not None:
        as_json = report.suffix == ".json"
        report.write_text(result.to_json() if as_json else result.to_markdown())
    raise typer.Exit(0 if result.holds else 1)


def _leave(*_: object) -> NoReturn:
    """Lets the end of everything be seen to."""
    raise SystemExit(143)
