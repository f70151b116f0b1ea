"""Gives each message its identity, and frees a batch of what it holds twice."""

import hashlib
from collections.abc import Sequence

import msgspec

from pipeline.consume import origin
from pipeline.consume.batch import Decoded, Entry, Reject
from pipeline.contract import Feed
from pipeline.decode import Decoder, Row
from pipeline.messages import Message
from pipeline.reasons import Reason, Refused

_KEY_BYTES = 32
_CONTENT_BYTES = 16


def decode_batch(feed: Feed, messages: Sequence[Message], secret: bytes) -> Decoded:
    """Decodes a batch and settles it within itself: the first of each event id wins.

    Args:
        feed: The contract.
        messages: What the run received.
        secret: The feed's settlement key, 32 bytes.
    """
    import pandas as pd  # noqa: PLC0415 - late, as in pipeline.masking.mask

    batch = _Batch(feed, secret)
    for message in messages:
        batch.add(message)
    return Decoded(
        frame=pd.DataFrame(
            [row.values for row in batch.rows],
            columns=[each.name for each in feed.fields],
            # Object columns hold each value as it was read: no integer becomes a float beside a
            # null, no string a number.
            dtype=object,
        ),
        entries=tuple(batch.entries.values()),
        rejects=tuple(batch.rejects.values()),
        received=len(messages),
        duplicates=batch.duplicates,
        unknown=sum(row.unknown for row in batch.rows),
        repeats={key: tuple(messages) for key, messages in batch.repeats.items()},
    )


class _Batch:
    def __init__(self, feed: Feed, secret: bytes) -> None:
        self._decoder = Decoder(feed)
        self._identity = Identity(feed, secret)
        self._secret = secret
        self.entries: dict[bytes, Entry] = {}
        self.rows: list[Row] = []
        self.rejects: dict[bytes, Reject] = {}
        self.duplicates = 0
        self.repeats: dict[bytes, list[Message]] = {}

    def add(self, delivered: Message) -> None:
        message = origin.restore(delivered, self._secret)
        try:
            row = self._decoder.decode(message.body, message.sent_at)
        except Refused as refused:
            entry = self._identity.entry(message, None)
            self._reject(Reject(entry, refused.reason, refused.field))
            return
        entry = self._identity.entry(message, row)
        first = self.entries.setdefault(entry.key, entry)
        if first is entry:
            self.rows.append(row)
        elif first.content == entry.content:
            self.duplicates += 1
            self.repeats.setdefault(entry.key, []).append(message)
        else:
            self._reject(Reject(entry, Reason.CONFLICT))

    def _reject(self, reject: Reject) -> None:
        if self.rejects.setdefault(quarantine_key(reject.entry), reject) is not reject:
            self.duplicates += 1


class Identity:
    """Computes the identity of a feed's messages, keyed with the feed's settlement key."""

    def __init__(self, feed: Feed, secret: bytes) -> None:
        paths = [each.path for each in feed.fields]
        self._key_places = tuple(paths.index(path) for path in feed.key)
        self._secret = secret

    def entry(self, message: Message, row: Row | None) -> Entry:
        """The message with its key and content.

        The key comes from the contract's key fields, else from the producer's `event_id`, else
        from SQS's message id: that of the first sending where it was redriven by this project,
        but another one after a producer's retry.
        """
        if row is not None and self._key_places:
            named = _named("key", msgspec.json.encode([row.values[at] for at in self._key_places]))
        elif message.event_id is not None:
            named = _named("event_id", message.event_id.encode(errors="surrogatepass"))
        else:
            named = _named("message_id", message.message_id.encode())
        body = message.body.encode(errors="surrogatepass")
        return Entry(
            key=self._digest(named, _KEY_BYTES),
            content=self._digest(body, _CONTENT_BYTES),
            message=message,
        )

    def _digest(self, content: bytes, size: int) -> bytes:
        # Keyed BLAKE2b (RFC 7693): a third of the time of HMAC-SHA256.
        return hashlib.blake2b(content, digest_size=size, key=self._secret).digest()


def _named(kind: str, name: bytes) -> bytes:
    """A name under its kind, so that no event id can pass for a message id."""
    return kind.encode() + b"\0" + name


def quarantine_key(entry: Entry) -> bytes:
    """The key of a message in the quarantine: event and content, 32 bytes.

    It differs from the event's own key, so that a corrected message with the same event id is
    loaded, and a redriven one too.
    """
    return hashlib.sha256(entry.key + entry.content).digest()
