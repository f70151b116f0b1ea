"""The commands of those who run producer and consumer as plain services: produce and consume."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline import feeds, log_lines
from pipeline.errors import TrafficError
from pipeline.operate.told_to_stop import ToldToStop, TooLate

if TYPE_CHECKING:
    from pipeline.contract import Feed
    from pipeline.operate.consume_service import Line
    from pipeline.produce.pace import Pace
    from pipeline.produce.traffic import Sending, Tally
    from pipeline.produce.ways import CountedOutlet, Way

app = typer.Typer()
_LEVELS = {"trouble": "ERROR", "check": "WARNING"}
_RECIPE = 10_000  # events that are planned ahead


class Shape(StrEnum):
    """How the rate behaves."""

    STEADY = "steady"
    BURST = "burst"
    RAMP = "ramp"


@app.command()
def produce(  # noqa: PLR0917 - typer names them all
    feed: Annotated[str, typer.Argument(metavar="FEED", help="A feed, such as user_logins.")],
    rate: Annotated[str, typer.Option(help="Events a time: 50/s, 3000/min, 10/h.")] = "50/s",
    count: Annotated[int | None, typer.Option(min=1, help="Events in all.")] = None,
    duration: Annotated[
        str | None, typer.Option("--for", help="When to end: 30s, 10min, 2h.")
    ] = None,
    shape: Annotated[Shape, typer.Option(help="How the rate behaves.")] = Shape.STEADY,
    burst: Annotated[
        int | None, typer.Option(min=1, help="burst: events of each; they come at the mean --rate.")
    ] = None,
    to: Annotated[str | None, typer.Option(help="ramp: the rate at its end.")] = None,
    over: Annotated[str | None, typer.Option(help="ramp: how long it takes, 60s.")] = None,
    through: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Send through the REST service, with PIPELINE_API_KEY."),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write figures to this file: JSON.")] = None,
    duplicates: Annotated[
        float, typer.Option(help="Share of messages that repeat an earlier one.")
    ] = 0.0,
    malformed: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE|REASON=SHARE", help="Share of broken messages, as in seed."),
    ] = None,
    random_seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same values.")
    ] = None,
) -> None:
    """Generate traffic at a given rate, and measure how long the queue takes to have it.

    The pace waits for no answer, and each latency counts from the moment at which its event was
    due. Without --count and --for it goes on until Ctrl-C or SIGTERM, which ends it with a report.

    Example: pipeline produce user_logins --rate 200/s --for 60s --report figures.json
    """
    from pipeline.produce import traffic, traffic_report  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.produce.generate import Recipe  # noqa: PLC0415
    from pipeline.produce.pace import read_duration  # noqa: PLC0415
    from pipeline.produce.shares import read_shares  # noqa: PLC0415

    chosen = feeds.find(feed)
    order = traffic.Order(
        pace=_pace(shape, rate, burst=burst, to=to, over=over),
        count=count,
        seconds=None if duration is None else read_duration(duration),
    )
    recipe = Recipe(
        count=min(count or _RECIPE, _RECIPE),
        random_seed=random_seed,
        duplicates=duplicates,
        malformed=read_shares(chosen, malformed or []),
    )
    recipe.check(chosen)
    if report is not None:
        _check_report(report)

    def tell(elapsed: float, second: "Tally") -> None:
        _tell(traffic_report.line(elapsed, second), chosen, **traffic_report.second(second))

    events = traffic.endless(chosen, recipe)
    with _way(chosen, through) as (way, outlet), ToldToStop() as told:
        sending = told.until(lambda: traffic.send(way, events, order, stop=told.stop, tell=tell))
    settings: dict[str, object] = {
        "feed": chosen.name,
        "shape": shape.value,
        "rate": rate,
        "burst": burst,
        "to": to,
        "over": over,
        "count": count,
        "for": duration,
        "duplicates": duplicates,
        "malformed": malformed or [],
        "way": "sqs" if outlet else "rest",
    }
    calls = outlet.calls if outlet else None
    figures = traffic_report.report(sending, settings, sqs_calls=calls)
    if report is not None:
        report.write_text(json.dumps(figures, indent=2) + "\n")
    _conclude(chosen, sending, figures)


@app.command()
def consume(
    names: Annotated[list[str], typer.Argument(metavar="FEED...", help="One feed or several.")],
    grace: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds to finish what is held when told to stop; then it is given back."
        ),
    ] = 20.0,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Lines of JSON, for programs.")] = False,
) -> None:
    """Drain queues on and on in this process, through the job that the sensor launches.

    For those who run no Dagster daemon. SIGTERM and Ctrl-C end it: nothing more is received, what
    is held is finished within --grace, or given back at once. A second one ends it there and then.

    Example: pipeline consume user_logins
    """
    chosen = [feeds.find(name) for name in dict.fromkeys(names)]
    write = write_json if as_json or log_lines.is_json(os.environ) else _write_text
    with ToldToStop() as told:
        from pipeline.definitions import defs  # noqa: PLC0415 - late, as in pipeline.cli
        from pipeline.operate.consume_service import ConsumeService  # noqa: PLC0415

        service = ConsumeService(defs(), chosen, stop=told.stop, tell=write)
        try:
            told.until(service.run, grace)
        except TooLate:
            shown, held = service.let_go()
            if held:
                typer.echo(f"gave back {shown} of {held} messages; all come again", err=True)
            sys.stdout.flush()
            os._exit(0)  # its run would go on, and Python would wait for it


def _check_report(report: Path) -> None:
    """Refuses a report that could not be written once the traffic has been sent."""
    if not report.parent.is_dir():
        raise TrafficError("there is no folder for the report", remedy="Make it first")
    if report.is_dir() or not os.access(report if report.exists() else report.parent, os.W_OK):
        raise TrafficError("the report cannot be written", remedy="Name a file that may be written")


@contextlib.contextmanager
def _way(feed: "Feed", through: str | None) -> "Iterator[tuple[Way, CountedOutlet | None]]":
    """The way to the queue, and what counts the calls of SQS where this process makes them."""
    from pipeline.produce import rest_client, ways  # noqa: PLC0415 - late, as in pipeline.cli
    from pipeline.produce.traffic import THREADS  # noqa: PLC0415
    from pipeline.resources.outside import SendOnly  # noqa: PLC0415
    from pipeline.resources.sqs import SqsQueue  # noqa: PLC0415

    if through is None:
        outside = SendOnly.of(os.environ)
        queue = SqsQueue(outside.client(THREADS), feed, embedded=outside.endpoint.embedded)
        outlet = ways.CountedOutlet(queue)
        yield ways.SqsWay(outlet), outlet
        return
    key = os.environ.get(rest_client.API_KEY) or None
    with rest_client.RestClient(through, key, connections=THREADS) as client:
        yield ways.RestWay(client, feed.name), None


def _pace(
    shape: Shape, rate: str, *, burst: int | None, to: str | None, over: str | None
) -> "Pace":
    from pipeline.produce.pace import (  # noqa: PLC0415 - late, as in pipeline.cli
        Bursts,
        Ramp,
        Steady,
        read_duration,
        read_rate,
    )

    mean = read_rate(rate)
    match shape, burst, to, over:
        case Shape.STEADY, None, None, None:
            return Steady(mean)
        case Shape.BURST, int(size), None, None:
            return Bursts(size, every=size / mean)
        case Shape.RAMP, None, str(last), str(seconds):
            return Ramp(mean, read_rate(last), read_duration(seconds))
    raise TrafficError(
        f"these options do not make a {shape.value}",
        remedy="steady takes --rate; burst --rate and --burst; ramp --rate, --to and --over",
    )


def _tell(text: str, feed: "Feed", **told: object) -> None:
    """A line of progress, as text or as JSON."""
    if not log_lines.is_json(os.environ):
        typer.echo(text)
        return
    told = {"feed": feed.name, **told}
    log_lines.write(log_lines.line(" ".join(text.split()), logger="pipeline.produce", told=told))


def _conclude(feed: "Feed", sending: "Sending", figures: dict[str, object]) -> None:
    """The last line; a status of 1 where SQS may not have what it was to have."""
    tally = sending.tally
    _tell(
        f"sent {tally.sent} of {sending.due} due in {sending.seconds:.1f} s:"
        f" {figures['reached_per_second']}/s of {figures['asked_per_second']}/s asked;"
        f" {tally.refused} refused, {tally.failed} failed, {sending.unsent} unsent",
        feed,
        due=sending.due,
        sent=tally.sent,
        refused=tally.refused,
        failed=tally.failed,
        unsent=sending.unsent,
    )
    for code, times in sorted(tally.why.items()):
        _tell(f"  {code}: {times}", feed, code=code, times=times)
    if tally.failed:
        raise typer.Exit(1)


def _write_text(line: "Line") -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    typer.echo(f"{now} {line.feed}: {line.text}")


def write_json(line: "Line") -> None:
    """A line of the consumer, for programs."""
    told = log_lines.line(
        line.text,
        logger="pipeline.consume",
        level=_LEVELS.get(line.event, "INFO"),
        told={"feed": line.feed, "run_id": line.run_id, "event": line.event, **line.numbers},
    )
    log_lines.write(told)
