"""Opens single pseudonyms for a custodian, once the record of it is committed.

Why in that order: docs/decisions/0008-the-audit-record-comes-first.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import psycopg

from pipeline import feeds
from pipeline.contract import Feed, Field
from pipeline.errors import ContractError, KeyringError, TokenError
from pipeline.masking.keyring import FieldKeys
from pipeline.masking.policies import Encrypt, IpCrypt, Vault
from pipeline.operate.columns import OPENABLE, columns_of, find_in_table, has_shape
from pipeline.operate.custody import check_keyring, connected
from pipeline.resources.outside import Outside
from pipeline.warehouse import audit
from pipeline.warehouse.audit import Request


@dataclass(frozen=True, slots=True)
class Opened:
    """What became of one pseudonym.

    Attributes:
        token: The pseudonym.
        value: The value, in canonical form; None where it does not open.
        problem: Why it does not open; empty where it does.
    """

    token: str
    value: str | None = field(repr=False)
    problem: str = ""


def unmask(
    outside: Outside, feed: Feed, columns: Sequence[Field], request: Request
) -> list[Opened]:
    """Records the request, commits that, and opens the pseudonyms.

    Args:
        outside: Where the warehouse and the keys are.
        feed: Whose pseudonyms.
        columns: Those that the pseudonyms may be of; all have the request's path.
        request: What is opened and why.

    Returns:
        One for each pseudonym, in the order of the request.

    Raises:
        SettingsError: There is no custodian's log-in.
        KeyringError: The keyring cannot be had, or is not the warehouse's; nothing was recorded.
        TableMismatch: There is no such table, or `pipeline migrate` has not run; as above.
        TokenError: An address is not in the table; nothing was recorded.
        AuditRefused: The request breaks a rule, or the log-in is no custodian.
        WarehouseError: Postgres is down: nothing is opened, whatever it has recorded.
    """
    keyring = outside.keyring.load()
    keys = keyring.field_keys(feed.name, request.field)
    with connected(outside.custodian_url(), feed=feed.name) as connection:
        # An address opens with any keyring: with another one it shows somebody else's.
        check_keyring(connection, keyring, feed)
        _check_addresses(connection, feed, columns, request)
        number = audit.request_unmask(connection, request)
        sealed = dict(audit.open_request(connection, number))
    return [_open(token, sealed.get(token), columns, keys) for token in request.tokens]


def unmask_asked(outside: Outside, number: UUID, stated_by: str) -> list[Opened]:
    """Opens what somebody asked for by `ask`; it becomes this custodian's own request.

    Args:
        outside: As above.
        number: The number of the request.
        stated_by: Who opens it, by their own account.

    Raises:
        AuditRefused: There is no such request, or as above.
        ContractError: Its column is not there any more.
        PipelineError: As above.
    """
    with connected(outside.custodian_url()) as connection:
        asked = audit.read_request(connection, number)
    feed = feeds.find(asked.feed)
    # A path may feed several columns, and the record names the path.
    columns = [
        each
        for each in columns_of(feed, OPENABLE)
        if each.path == asked.field and all(has_shape(token, each) for token in asked.tokens)
    ]
    if not columns:
        raise ContractError(
            "the request is for a column that cannot be opened any more",
            remedy="Make a new one",
            feed=feed.name,
        )
    reason = f"{asked.reason} (request {number} of {asked.stated_by})"
    own = Request(asked.feed, asked.field, asked.tokens, reason, stated_by)
    return unmask(outside, feed, columns, own)


def ask(outside: Outside, feed: Feed, column: Field, request: Request) -> UUID:
    """Prepares a request that a custodian opens with `unmask_asked`; opens nothing.

    Raises:
        PipelineError: As `unmask`.
    """
    with connected(outside.custodian_url(), feed=feed.name) as connection:
        _check_addresses(connection, feed, [column], request)
        return audit.ask_unmask(connection, request)


def _check_addresses(
    connection: psycopg.Connection, feed: Feed, columns: Sequence[Field], request: Request
) -> None:
    """Refuses addresses that the table does not have.

    Other pseudonyms show by their shape that they are no values; these look like any address, and
    one that was pasted by mistake must not be recorded.
    """
    for column in columns:
        if isinstance(column.policy, IpCrypt):
            found = find_in_table(connection, feed, column, request.tokens)
            if missing := len(set(request.tokens) - found):
                raise TokenError(
                    f"{missing} of the addresses do not occur in this column",
                    remedy="Copy them from the table; nothing was recorded",
                    feed=feed.name,
                    field=column.name,
                )


def _open(token: str, sealed: bytes | None, columns: Sequence[Field], keys: FieldKeys) -> Opened:
    problem = ""
    for column in columns:
        try:
            return Opened(token, _value(token, sealed, column, keys))
        except (TokenError, KeyringError) as error:
            problem = error.what
    return Opened(token, None, problem)


def _value(token: str, sealed: bytes | None, column: Field, keys: FieldKeys) -> str:
    policy = column.policy
    if isinstance(policy, Vault):
        if sealed is None:
            raise TokenError("the vault does not have it: forgotten, or never there", remedy="")
        return policy.open(token, sealed, column.type, keys)
    assert isinstance(policy, Encrypt | IpCrypt)  # noqa: S101 - the others were refused
    return policy.open(token, column.type, keys)
