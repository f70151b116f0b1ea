"""Opens one message of the quarantine for a custodian, once the record of it is committed.

Why in that order: docs/decisions/0008-the-audit-record-comes-first.md.
"""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pipeline import feeds
from pipeline.contract import Feed
from pipeline.errors import QuarantineError
from pipeline.masking.keyring import Keyring
from pipeline.operate.custody import check_keyring, connected
from pipeline.resources.outside import Outside
from pipeline.warehouse import quarantine
from pipeline.warehouse.quarantine import Sealed, Selection


@dataclass(frozen=True, slots=True)
class Opened:
    """One message of the quarantine, in the clear.

    Attributes:
        message_id: SQS's id of it when it was first sent.
        sent_at: When SQS took it first, UTC.
        event_id: The producer's event id; None where there was none, or none was kept.
        body: The body.
    """

    message_id: str
    sent_at: datetime
    event_id: str | None = field(repr=False)
    body: str = field(repr=False)


def look(outside: Outside, feed: Feed, key: bytes, *, reason: str, stated_by: str) -> Opened:
    """Records the look, commits that, and opens the message.

    Args:
        outside: Where the warehouse and the keys are.
        feed: Whose message.
        key: Its key in the quarantine.
        reason: Why, in words that an auditor will understand.
        stated_by: Who looks, by their own account.

    Raises:
        SettingsError: There is no custodian's log-in.
        KeyringError: The keyring cannot be had, is not the warehouse's, or does not open it.
        QuarantineError: The message is there no more.
        AuditRefused: The request breaks a rule, or the log-in is no custodian.
        WarehouseError: Postgres is down: nothing is opened, whatever it has recorded.
    """
    keyring = outside.keyring.load()
    with connected(outside.custodian_url(), feed=feed.name) as connection:
        check_keyring(connection, keyring, feed)
        one = Selection(feed.name, (key,))
        asked = quarantine.request(connection, "look", one, reason=reason, stated_by=stated_by)
        sealed = quarantine.open_one(connection, asked, key)
    if sealed is None:
        raise QuarantineError(
            "the message does not lie in the quarantine any more",
            remedy="It was redriven or purged meanwhile; the request is recorded all the same",
            feed=feed.name,
        )
    return unseal(sealed, feed, keyring)


def look_asked(outside: Outside, number: UUID, stated_by: str) -> Opened:
    """Opens what somebody asked for by `ask`; it becomes this custodian's own request.

    Raises:
        AuditRefused: There is no such request, or as `look`.
        PipelineError: As `look`.
    """
    with connected(outside.custodian_url()) as connection:
        name, key, reason, asked_by = quarantine.read_look(connection, number)
    why = f"{reason} (request {number} of {asked_by})"
    return look(outside, feeds.find(name), key, reason=why, stated_by=stated_by)


def ask(outside: Outside, feed: Feed, key: bytes, *, reason: str, stated_by: str) -> UUID:
    """Prepares a request that a custodian opens with `look_asked`; opens nothing.

    Raises:
        AuditRefused: The request breaks a rule, or the log-in is no custodian.
        PipelineError: As `look`.
    """
    one = Selection(feed.name, (key,))
    with connected(outside.custodian_url(), feed=feed.name) as connection:
        return quarantine.request(connection, "look asked", one, reason=reason, stated_by=stated_by)


def unseal(sealed: Sealed, feed: Feed, keyring: Keyring) -> Opened:
    """The message in the clear.

    Raises:
        KeyringError: It does not open.
    """
    event_id, body = (
        None
        if each is None
        else keyring.unseal(feed.name, bytes(each)).decode(errors="surrogatepass")
        for each in (sealed.event_id, sealed.body)
    )
    return Opened(sealed.message_id, sealed.sent_at, event_id, body or "")
