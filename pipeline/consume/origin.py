"""Who a message was when it was first sent, signed, so that a redrive changes neither id nor date.

SQS gives whatever is sent again a new message id and a new time. A message attribute carries the
first ones along. It is authenticated with the feed's settlement key, over event id and body too:
no producer can set a date or an identity, and none can be moved to another message.
"""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline.messages import Event, Message

_VERSION: Final = "v1"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Tells these digests from those of keys and contents, which are made with the same secret.
_PERSON: Final = b"origin"
_BYTES: Final = 16


def restore(message: Message, secret: bytes) -> Message:
    """The message with the id and the time of its first sending, where its origin is sound.

    Args:
        message: As SQS delivered it.
        secret: The feed's settlement key, 32 bytes.

    Returns:
        The message itself where it carries no origin, or one that is not ours.
    """
    if message.origin is None:
        return message
    claim, _, signature = message.origin.rpartition(" ")
    wanted = _sign(claim, message, secret)
    if not hmac.compare_digest(wanted.encode(), signature.encode(errors="surrogatepass")):
        return message
    _, moment, message_id = claim.split(" ", 2)
    sent_at = _EPOCH + int(moment) * _MICROSECOND
    return replace(message, message_id=message_id, sent_at=sent_at)


def again(message: Message, secret: bytes) -> Event:
    """What to send, so that a message is the same one when it is received again.

    Args:
        message: As SQS delivered it, or as the quarantine has kept it.
        secret: The feed's settlement key, 32 bytes.
    """
    first = restore(message, secret)
    moment = (first.sent_at - _EPOCH) // _MICROSECOND
    claim = f"{_VERSION} {moment} {first.message_id}"
    return Event(
        event_id=message.event_id or "",
        body=message.body,
        origin=f"{claim} {_sign(claim, message, secret)}",
        trace=message.trace,
    )


def _sign(claim: str, message: Message, secret: bytes) -> str:
    signature = hashlib.blake2b(key=secret, digest_size=_BYTES, person=_PERSON)
    for part in (claim, message.event_id or "", message.body):
        plain = part.encode(errors="surrogatepass")
        signature.update(len(plain).to_bytes(8))
        signature.update(plain)
    return signature.hexdigest()
