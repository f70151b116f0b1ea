"""How a report, a status and a quarantine look on a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipeline.operate.quarantine.choosing import handle_of
from pipeline.operate.status import FeedStatus
from pipeline.warehouse.quarantine import Group, Lying

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


def show_quarantine(out: Console, groups: Sequence[Group], named: Sequence[Lying] = ()) -> None:
    """What lies in the quarantine: how many by reason and column, and single messages."""
    if not groups:
        out.print("nothing lies in the quarantine that fits")
        return
    table = _uncut("reason", "column", "messages", "oldest", "newest", "deliveries")
    for each in groups:
        ages = _age(each.oldest), _age(each.newest)
        counts = str(each.messages), *ages, str(each.receive_count)
        table.add_row(each.reason, each.field or "", *counts)
    out.print(table)
    if named:
        _show_messages(out, named)


def _show_messages(out: Console, named: Sequence[Lying]) -> None:
    table = _uncut("message", "reason", "column", "quarantined", "first sent")
    for each in named:
        ages = _age(each.quarantined_at), _age(each.sent_at)
        table.add_row(handle_of(each.key), each.reason, each.field or "", *ages)
    out.print()
    out.print(table)


def _uncut(*columns: str) -> Table:
    """A table of which no cell is cut short: what stands there is copied."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table


def _age(moment: datetime) -> str:
    seconds = (datetime.now(UTC) - moment).total_seconds()
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"
