"""Ours beside the loops that people write and the bare calls, from the same queue, in one run.

Each contender in each round gets a process of its own and freshly made logins on the embedded
queue, whose answers come as late as those of a real SQS. A figure counts only where every answer
was late, nothing is left on the queue and no row is missing. CPU and memory are the client's.

Queue and Postgres share the machine with the client. Where the queue takes most of a core, it is
what bounds the rate, and the CPU seconds are what to compare.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks import node_loop
from benchmarks.loops import PLAIN
from benchmarks.own_loops import COPIED
from benchmarks.peers_report import Figures, Report
from benchmarks.peers_stage import Contender, Takes, set_up

_CONTENDERS: Final = (
    Contender(name="simplest", rows=PLAIN, takes=Takes.FEW),
    Contender(name="well-made", rows=PLAIN),
    Contender(name=node_loop.NAME, rows=PLAIN),
    Contender(name="bare boto3"),
    Contender(name="bare lean"),
    Contender(name="ours", rows="public.user_logins"),
    Contender(name="copy", rows=COPIED, takes=Takes.NONE),
    Contender(name="mask", takes=Takes.NONE),
)


def peers(  # noqa: PLR0917 - typer names them all
    messages: Annotated[int, typer.Option(help="For each contender.", min=10)] = 60_000,
    few: Annotated[int, typer.Option(help="For the simplest loop.", min=1)] = 500,
    delays: Annotated[str, typer.Option(help="Answer times of the queue, in ms.")] = "0,5,20",
    rounds: Annotated[int, typer.Option(help="Rounds; the medians count.", min=1)] = 3,
    distinct: Annotated[float, typer.Option(help="Share of distinct values.", min=0, max=1)] = 1.0,
    report: Annotated[Path | None, typer.Option(help="Write the figures here: JSON.")] = None,
) -> None:
    """Move logins from the queue to Postgres, as we do it and as others do."""
    answer_times = _answer_times(delays)
    contenders = [each for each in _CONTENDERS if _can_run(each)]
    figures: list[Figures] = []
    with set_up(messages=messages, few=few, distinct=distinct) as stage:
        for delay in answer_times:
            for _ in range(rounds):  # in turn, so that what else the machine does hits all
                for contender in contenders:
                    if contender.takes is Takes.NONE and delay != answer_times[0]:
                        continue  # no answer of the queue is waited for
                    figures.append(stage.measure(contender, delay))
                    print(figures[-1].line(), file=sys.stderr, flush=True)
        postgres = stage.postgres_version()
    settings = {"messages": messages, "few": few, "delays_ms": answer_times}
    settings |= {"rounds": rounds, "distinct": distinct}
    made = Report(postgres=postgres, settings=settings, rounds=tuple(figures))
    print(made.markdown())
    if report is not None:
        report.write_text(json.dumps(made.as_json(), indent=2) + "\n")


def _answer_times(delays: str) -> list[float]:
    try:
        times = [float(each) for each in delays.split(",")]
    except ValueError:
        times = [-1.0]
    if min(times) < 0 or max(times) >= 1000:
        raise typer.BadParameter("numbers of milliseconds below 1,000, with commas between")
    return times


def _can_run(contender: Contender) -> bool:
    missing = node_loop.install() if contender.name == node_loop.NAME else None
    if missing:
        print(f"{contender.name} is left out: {missing}", file=sys.stderr, flush=True)
    return not missing
