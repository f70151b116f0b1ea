"""Rate and memory of a drain: by how many messages wait, and by how many runs share them."""

import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from benchmarks import outside
from benchmarks.data_plane import side_by_side, task_of
from benchmarks.growth_report import PAGE, Drain
from benchmarks.outside import Services
from benchmarks.report import Figures, Into, Report


def growth(
    sizes: Annotated[
        str, typer.Option(help="Messages that wait; 1000000 too, where there is time.")
    ] = "1000,10000,100000,200000",
    runs: Annotated[str, typer.Option(help="Processes side by side.")] = "1,2,4",
    rounds: Annotated[int, typer.Option(help="Rounds; the medians count.", min=1)] = 1,
    answer_ms: Annotated[float, typer.Option(help="Answer time of the queue.", min=0)] = 0.0,
    into: Into = None,
) -> None:
    """Drain queues that hold more and more, with one run and with several side by side."""
    shares = read_counts(runs)
    backlogs = read_counts(sizes)
    figures: list[Figures] = []
    with outside.running() as services:
        for _ in range(rounds):
            for messages in backlogs:
                for each in shares:
                    drain = _measure(services, messages, each, answer_ms / 1000)
                    figures.append(asdict(drain))
                    print(drain.line(), file=sys.stderr, flush=True)
        postgres = services.postgres_version()
    settings: dict[str, Any] = {"rounds": rounds, "answer ms": answer_ms}
    report = Report.of_now("growth", settings, figures, postgres=postgres)
    print(report.markdown(PAGE))
    if into is not None:
        report.write(PAGE, into)


def read_counts(text: str) -> list[int]:
    """Whole numbers from 1 on, with commas between.

    Raises:
        BadParameter: That is none.
    """
    parts = [each.strip() for each in text.split(",")]
    if not all(each.isdecimal() and int(each) for each in parts):
        raise typer.BadParameter("whole numbers from 1 on, with commas between")
    return [int(each) for each in parts]


def _measure(services: Services, messages: int, runs: int, answer_seconds: float) -> Drain:
    shares = [messages // runs + (place < messages % runs) for place in range(runs)]
    with services.filled(messages, answer_seconds) as made:
        took = side_by_side([task_of(services, share) for share in shares if share])
        counts = made()
    return Drain(
        messages=messages,
        runs=runs,
        seconds=took.seconds,
        cpu_seconds=took.cpu_seconds,
        queue_seconds=counts.cpu_seconds,
        peak_mib=took.peak_mib,
    )
