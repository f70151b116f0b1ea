"""Runs the conformance suite elsewhere: `make conformance`, with ARGS=localstack, aws or table."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Annotated

import boto3
import typer

from conformance import aws as amazon
from conformance.accounts import accounts, new_prefix
from conformance.localstack import install, running
from conformance.report import Report, run
from conformance.table import DOCUMENT, with_table
from pipeline.errors import PipelineError
from pipeline_tests.sqs_case import Need
from pipeline_tests.sqs_suite import CASES, GROUPS

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.command()
def localstack(
    python: Annotated[str, typer.Option(help="A Python 3.13, by path or name.")] = "python3.13",
) -> None:
    """LocalStack from PyPI, in an environment of its own under .cache/ (about 500 MB)."""
    with told_plainly(), running(install(python)) as url:
        sqs = boto3.client(
            "sqs",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - LocalStack checks none
        )
        open_account = accounts(sqs, new_prefix())
        report = run("localstack", CASES, open_account, has=frozenset({Need.PROMPT}))
    tell(report)


@app.command()
def aws() -> None:
    """SQS itself, with the credentials of the environment and PIPELINE_CONFORMANCE_AWS=1."""
    prefix = new_prefix()
    # As Ctrl-C: an exception, on whose way out the queues are deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with told_plainly():
        sqs = amazon.client(os.environ)
        typer.echo(f"{sqs.meta.endpoint_url}: every queue is called {prefix}…")
        report = amazon.run_on_aws(sqs, CASES, prefix)
    tell(report)


@app.command()
def table() -> None:
    """Write the table of docs/conformance.md anew, from the cases."""
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(), GROUPS))


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Turns an error into one line and exit status 1."""
    try:
        yield
    except PipelineError as error:
        typer.echo(f"conformance: {error}", err=True)
        raise typer.Exit(1) from None


def tell(report: Report) -> None:
    """Print a report; exit status 1 unless all is as known."""
    typer.echo("\n".join(report.lines()))
    if not report.sound:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
