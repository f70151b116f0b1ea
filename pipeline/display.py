"""How a report and a status look on a terminal."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipeline.operate.status import FeedStatus

if TYPE_CHECKING:
    from pipeline.demo import Report  # it imports Dagster and pandas: 3 s

_SHORT = 10  # characters of a value: seven columns fit into a terminal of 80


def show_report(out: Console, report: "Report") -> None:
    """The account of a demonstration, and a few rows."""
    account = report.account
    rows = Table(*report.columns, box=None, padding=(0, 1, 0, 0), header_style="bold")
    for row in report.rows:
        rows.add_row(*("" if value is None else _shortened(str(value)) for value in row))
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(account.quarantined.items()))
    facts = Table(show_header=False, box=None)
    for name, value in (
        ("received", account.received),
        ("loaded", account.loaded),
        ("duplicate", account.duplicate),
        ("quarantined", f"{account.quarantined.total()}  ({reasons})"),
        ("released", account.released),
        ("rate", f"{account.received / report.seconds:.0f} messages/s"),
    ):
        facts.add_row(name, str(value))
    out.print()
    out.print(facts)
    out.print("\na few rows, as analysts see them:")
    out.print(rows)
    out.print("\nevery message is accounted for", style="bold green")


def _shortened(value: str) -> str:
    return value if len(value) <= _SHORT else f"{value[: _SHORT - 1]}…"


def show_status(out: Console, each: FeedStatus) -> None:
    """A feed at a glance, and its latest batches."""
    facts = Table(title=each.feed, title_justify="left", show_header=False)
    reasons = ", ".join(f"{reason} {n}" for reason, n in each.quarantined_by_reason.items())
    for name, value in (
        ("depth", each.depth),
        ("in flight", each.in_flight),
        ("dead letters", "-" if each.dead_letter_depth is None else each.dead_letter_depth),
        ("rows", each.rows),
        ("quarantined", f"{each.quarantined}  ({reasons})" if reasons else each.quarantined),
    ):
        facts.add_row(name, str(value))
    out.print(facts)
    runs = Table("committed (UTC)", "run", "received", "loaded", "duplicate", "quarantined")
    for batch in each.last_runs:
        runs.add_row(
            f"{batch.committed_at:%Y-%m-%d %H:%M:%S}",
            batch.run_id[:8],
            *map(str, (batch.received, batch.loaded, batch.duplicate, batch.quarantined)),
        )
    if each.last_runs:
        out.print(runs)
