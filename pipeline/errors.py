"""Every error that this project raises on purpose, in one tree.

An error says what happened, where (feed, field, rule), and what to do. It never holds a value
of anybody's data, because Dagster stores the text of exceptions in the clear.

    PipelineError
    ├── ContractError          a feed file is wrong; found when definitions load
    ├── SettingsError          an environment setting is missing or contradicts another
    ├── KeyringError           the keyring is missing, wrong, open to others, or AWS refuses it
    ├── TokenError             a pseudonym cannot be opened
    ├── QueueError             SQS refused or did not answer
    │   ├── QueueMissing       no queue of that name
    │   ├── QueueUnreachable   the endpoint did not answer
    │   ├── CredentialsExpired   the log-in at AWS is over
    │   └── WrongEnvironment   the queue is another environment's
    ├── WarehouseError         Postgres refused
    │   ├── WarehouseUnavailable   down, full, read-only, locked: passes by itself
    │   ├── WarehouseNotTrusted    it does not show that it is ours, or does not encrypt
    │   └── TableMismatch      the table and the contract disagree: a person must act
    ├── AuditRefused           a request to unmask or forget breaks a rule, or the log-in may not
    ├── QuarantineError        what is asked of the quarantine names nothing that lies there
    ├── EnrichmentError        no record of a batch could be enriched: the service, not the records
    ├── AccountError           the numbers of a batch do not add up; the transaction is undone
    ├── RunFailed              a run in this process failed; holds the text of its error
    ├── SeedError              a seed file or a seed setting is wrong
    ├── FetchError             a source's API, or the ledger of what was fetched, is not in order
    │   └── FetchBusy          another fetcher works on the same range
    ├── TrafficError           a setting of generated traffic is wrong, or none of it was taken
    ├── BrokerError            the broker of the warm workers does not answer, or refuses
    ├── AlertError             an alert did not reach its channel
    ├── LocalServiceError      the embedded Postgres or queue did not start
    ├── Overloaded             a bound of the REST service is reached: passes by itself
    └── UnexpectedError        a bug: the type and the line of the original, not its text
"""

import contextlib
import traceback
from collections.abc import Iterator
from typing import ClassVar, Self


class PipelineError(Exception):
    """The base of the tree.

    Args:
        what: What happened, in one sentence without a value of anybody's data.
        remedy: What the reader should do about it.
        feed: The feed's name, where one is known.
        field: The field's name, where one is at fault.
        rule: The rule that was broken, as the contract names it.
    """

    code: ClassVar[str] = "E_PIPELINE"

    def __init__(
        self,
        what: str,
        *,
        remedy: str,
        feed: str | None = None,
        field: str | None = None,
        rule: str | None = None,
    ) -> None:
        self.what = what
        self.remedy = remedy
        self.feed = feed
        self.field = field
        self.rule = rule
        places = [
            f"{name} {value!r}"
            for name, value in (("feed", feed), ("field", field), ("rule", rule))
            if value is not None
        ]
        where = f" ({', '.join(places)})" if places else ""
        super().__init__(f"{self.code}: {what}{where}. {remedy}")


class ContractError(PipelineError):
    """A feed file promises something that cannot hold."""

    code = "E_CONTRACT"


class SettingsError(PipelineError):
    """An environment setting is missing or contradicts another."""

    code = "E_SETTINGS"

    @classmethod
    def of_port(cls, port: int, error: OSError | OverflowError) -> Self:
        """The error for an address that a server was told to listen on and cannot have."""
        why = getattr(error, "strerror", None) or "not a port"
        return cls(
            f"port {port} of the host cannot be listened on ({why})",
            remedy="Choose another --port or --host, or end who has it",
        )


class KeyringError(PipelineError):
    """The keyring cannot be trusted or read: nothing is received without it."""

    code = "E_KEYRING"


class TokenError(PipelineError):
    """What was given as a pseudonym is none, or cannot be opened."""

    code = "E_TOKEN"


class QueueError(PipelineError):
    """SQS refused a call."""

    code = "E_QUEUE"


class QueueMissing(QueueError):
    """There is no queue of that name at the endpoint in use."""

    code = "E_QUEUE_MISSING"


class QueueUnreachable(QueueError):
    """The endpoint did not answer in time."""

    code = "E_QUEUE_UNREACHABLE"


class CredentialsExpired(QueueError):
    """The credentials were good and are no longer: whoever renews them needs a new client."""

    code = "E_CREDENTIALS_EXPIRED"


class WrongEnvironment(QueueError):
    """The queue is tagged as another environment's: nothing is received from it."""

    code = "E_WRONG_ENVIRONMENT"


class WarehouseError(PipelineError):
    """Postgres refused, for a reason that concerns no single row."""

    code = "E_WAREHOUSE"


class WarehouseUnavailable(WarehouseError):
    """Postgres is down, full, read-only or busy: nothing is wrong with the messages."""

    code = "E_WAREHOUSE_UNAVAILABLE"


class WarehouseNotTrusted(WarehouseError):
    """What answers does not show that it is our server, or does not encrypt: a person must act."""

    code = "E_WAREHOUSE_NOT_TRUSTED"


class TableMismatch(WarehouseError):
    """The table and the contract disagree, or a right is missing: a person must act."""

    code = "E_TABLE_MISMATCH"


class AuditRefused(PipelineError):
    """A request breaks a rule of the audit, or this log-in may not make it."""

    code = "E_AUDIT_REFUSED"


class QuarantineError(PipelineError):
    """What is asked of the quarantine names nothing that lies there, or says too little."""

    code = "E_QUARANTINE"


class EnrichmentError(PipelineError):
    """No record of a batch could be enriched: nothing is wrong with the messages."""

    code = "E_ENRICHMENT"


class AccountError(PipelineError):
    """Received, loaded, duplicate, quarantined and released do not add up."""

    code = "E_ACCOUNT"


class RunFailed(PipelineError):
    """A run that was started in this process failed."""

    code = "E_RUN_FAILED"


class SeedError(PipelineError):
    """A seed file or a seed setting is wrong."""

    code = "E_SEED"


class TrafficError(PipelineError):
    """A setting of generated traffic is wrong, or the REST service did not take an event."""

    code = "E_TRAFFIC"


class FetchError(PipelineError):
    """A source's API breaks its contract or a bound, or the ledger of what was fetched does."""

    code = "E_FETCH"


class FetchBusy(FetchError):
    """Another fetcher works on the same range of the same source."""

    code = "E_FETCH_BUSY"


class BrokerError(PipelineError):
    """The broker of the warm workers does not answer, or refuses: no run can be handed over."""

    code = "E_BROKER"


class AlertError(PipelineError):
    """An alert did not reach its channel."""

    code = "E_ALERT"


class LocalServiceError(PipelineError):
    """The embedded Postgres or the embedded queue did not start."""

    code = "E_LOCAL_SERVICE"


class Overloaded(PipelineError):
    """The REST service holds as much as it may; nothing was accepted."""

    code = "E_OVERLOADED"


class UnexpectedError(PipelineError):
    """An error that nobody foresaw, stripped of its text, which may hold values."""

    code = "E_UNEXPECTED"


def told(error: Exception) -> str:
    """What may be told of any error: the text of this project's own, the type of the others."""
    return str(error) if isinstance(error, PipelineError) else type(error).__name__


@contextlib.contextmanager
def values_kept_out(*, stage: str, feed: str | None = None) -> Iterator[None]:
    """Let only this project's errors out of a stage; strip every other one of its text.

    Drivers, pandas and the standard library put values into their messages ("invalid literal
    for int(): '...'"). What leaves here names the type and the line instead.

    Raises:
        PipelineError: As it was raised inside.
        UnexpectedError: In place of any other exception.
        BaseException: An interrupt or an exit, as it was raised inside.
    """
    try:
        yield
    except PipelineError as error:
        raise error from None  # what it was raised in the course of may hold values
    except Exception as error:  # noqa: BLE001 - the wall must stop every type
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise UnexpectedError(
            f"{type(error).__name__} in stage {stage!r}, at {frame.filename}:{frame.lineno}",
            remedy="This is a bug: report the type and the line; the text was withheld",
            feed=feed,
        ) from None
    except BaseException as error:
        # An interrupt may come while a driver undoes what failed: then it was raised in the course
        # of the driver's own error, and whoever stores the one stores the other's text with it.
        raise error from None
