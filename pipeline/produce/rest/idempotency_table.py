"""Answers in Postgres: the same for all processes of the service, and there after a restart."""

import itertools
import secrets
from contextlib import suppress
from typing import Final

import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pipeline.errors import TableMismatch
from pipeline.produce.rest.connections import Connections
from pipeline.produce.rest.idempotency import (
    KEPT_SECONDS,
    STALE_SECONDS,
    Answer,
    Begun,
    Claim,
    Different,
    InProgress,
    New,
    Replay,
)

_NONCE_BYTES: Final = 12  # NIST SP 800-38D, 5.2.1.1
_TRIES: Final = 5  # a key is freed between two looks at most so often
_BEGUN_A_PRUNING, _PRUNED_AT_ONCE = 50, 200  # so that pruning keeps ahead

# What has expired is as good as gone. A dead request's place is taken by a retry, whose answer
# may differ from the one that was lost; the event id does not. An attempt finds itself where the
# answer to its own INSERT was lost.
_BEGIN: Final = """
INSERT INTO pipeline.idempotency AS kept (sender, key_digest, fingerprint, attempt)
VALUES (%(sender)s, %(key_digest)s, %(fingerprint)s, %(attempt)s)
ON CONFLICT (sender, key_digest) DO UPDATE
SET fingerprint = excluded.fingerprint, attempt = excluded.attempt,
    status = NULL, answer = NULL, started_at = now()
WHERE kept.started_at < now() - make_interval(secs => %(kept)s)
   OR kept.status IS NULL AND kept.attempt = excluded.attempt
   OR kept.status IS NULL AND kept.fingerprint = excluded.fingerprint
      AND kept.started_at < now() - make_interval(secs => %(stale)s)
"""
_FIND: Final = """
SELECT fingerprint, status, answer FROM pipeline.idempotency
WHERE sender = %(sender)s AND key_digest = %(key_digest)s
"""
_FINISH: Final = """
UPDATE pipeline.idempotency SET status = %(status)s, answer = %(answer)s
WHERE sender = %(sender)s AND key_digest = %(key_digest)s AND attempt = %(attempt)s
  AND status IS NULL
"""
_GIVE_UP: Final = """
DELETE FROM pipeline.idempotency
WHERE sender = %(sender)s AND key_digest = %(key_digest)s AND attempt = %(attempt)s
  AND status IS NULL
"""
_PRUNE: Final = """
DELETE FROM pipeline.idempotency AS kept USING (
    SELECT sender, key_digest FROM pipeline.idempotency
    WHERE started_at < now() - make_interval(secs => %(kept)s)
    ORDER BY started_at LIMIT %(count)s FOR UPDATE SKIP LOCKED
) AS old
WHERE kept.sender = old.sender AND kept.key_digest = old.key_digest
"""
_CHECK: Final = """
SELECT sender, key_digest, fingerprint, attempt, status, answer, started_at
FROM pipeline.idempotency LIMIT 0
"""


class TableStore:
    """Answers in the table `pipeline.idempotency`; a `Store`.

    Each answer is sealed with a key that comes from its Idempotency-Key, which is not there: what
    lies in the table tells only who asked when, and with which status it was answered.

    Args:
        url: The warehouse, with a log-in that is a member of `producer`, or the owner's.
        connections: How many are open at most; each has a thread.
        waiting: How many requests may wait for one of them.
    """

    def __init__(self, url: str, connections: int = 4, waiting: int = 1_000) -> None:
        self._connections = Connections(url, connections, waiting)
        self._begun = itertools.count()

    async def check(self) -> None:
        """Makes sure that the table is there and may be read.

        Raises:
            WarehouseUnavailable: Postgres does not answer.
            TableMismatch: The table is missing or an older one, or not for this log-in.
        """
        await self._connections.ask(lambda connection: connection.execute(_CHECK))

    async def begin(self, claim: Claim) -> Begun:
        """As `Store`; `WarehouseUnavailable` where Postgres is down: then nothing was claimed.

        It may have been claimed all the same, if the connection broke twice; then a retry is told
        for a minute that it is in progress.
        """
        return await self._connections.ask(lambda connection: self._begin(connection, claim))

    async def finish(self, claim: Claim, answer: Answer) -> None:
        """As `Store`."""
        written = _where(claim) | {"status": answer.status, "answer": _seal(claim, answer)}
        await self._connections.ask(lambda connection: connection.execute(_FINISH, written))

    async def give_up(self, claim: Claim) -> None:
        """As `Store`."""
        await self._connections.ask(lambda connection: connection.execute(_GIVE_UP, _where(claim)))

    def close(self) -> None:
        """As `Store`; waits for what is being asked."""
        self._connections.close()

    def _begin(self, connection: psycopg.Connection, claim: Claim) -> Begun:
        if next(self._begun) % _BEGUN_A_PRUNING == 0:
            with suppress(psycopg.Error):  # the next statement will say it, if it matters
                connection.execute(_PRUNE, {"kept": KEPT_SECONDS, "count": _PRUNED_AT_ONCE})
        mine = _where(claim) | {"kept": KEPT_SECONDS, "stale": STALE_SECONDS}
        for _ in range(_TRIES):
            if connection.execute(_BEGIN, mine).rowcount:
                return New()
            found = connection.execute(_FIND, mine).fetchone()
            if found is not None:
                return _judge(claim, *found)
        return InProgress()


def _where(claim: Claim) -> dict[str, object]:
    return {
        "sender": claim.sender,
        "key_digest": claim.key_digest,
        "fingerprint": claim.fingerprint,
        "attempt": claim.attempt,
    }


def _judge(claim: Claim, fingerprint: bytes, status: int | None, sealed: bytes | None) -> Begun:
    if fingerprint != claim.fingerprint:
        return Different()
    if status is None or sealed is None:
        return InProgress()
    return Replay(_open_answer(claim, status, sealed))


def _seal(claim: Claim, answer: Answer) -> bytes:
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(claim.seal).encrypt(nonce, answer.body, _bound_to(claim, answer.status))


def _open_answer(claim: Claim, status: int, sealed: bytes) -> Answer:
    nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        body = AESGCM(claim.seal).decrypt(nonce, rest, _bound_to(claim, status))
    except (InvalidTag, ValueError):
        raise TableMismatch(
            "an answer in pipeline.idempotency is not as this service wrote it",
            remedy="Find out who writes there; the row may be deleted",
        ) from None
    return Answer(status, body)


def _bound_to(claim: Claim, status: int) -> bytes:
    """What an answer belongs to: moved to another row, or with another status, it does not open."""
    return claim.fingerprint + status.to_bytes(4, "big")
