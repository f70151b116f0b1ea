"""Destroys messages that have lain in the quarantine for long enough."""

from collections.abc import Callable

from pipeline.contract import Feed
from pipeline.operate.custody import connected
from pipeline.resources.outside import Outside
from pipeline.warehouse import quarantine
from pipeline.warehouse.quarantine import Selection


def purge(
    outside: Outside,
    feed: Feed,
    selection: Selection,
    *,
    reason: str,
    stated_by: str,
    tell: Callable[[str], None],
) -> int:
    """Records the purge, commits that, and destroys the messages, a portion at a time.

    Args:
        outside: Where the warehouse is.
        feed: Whose messages.
        selection: Which; its age is a day or more.
        reason: Why, in words that an auditor will understand.
        stated_by: Who asks, by their own account.
        tell: Told of the progress.

    Returns:
        How many were destroyed.

    Raises:
        SettingsError: There is no custodian's log-in.
        AuditRefused: The age is less than a day, a reason is missing, or the log-in is no
            custodian.
        WarehouseError: Postgres is down, or refuses; what was destroyed stays destroyed.
    """
    purged, beyond = 0, b""
    with connected(outside.custodian_url(), feed=feed.name) as connection:
        asked = quarantine.request(
            connection, "purge", selection, reason=reason, stated_by=stated_by
        )
        while gone := quarantine.purge(connection, asked, beyond):
            purged, beyond = purged + len(gone), gone[-1]
            tell(f"purged {purged}")
        quarantine.close(connection, asked, "purge")
    return purged
