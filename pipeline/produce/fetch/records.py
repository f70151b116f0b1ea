"""Makes an event of what upstream says of a record: the source's function, then the contract."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from pipeline.contract import Feed
from pipeline.decode import Decoder
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES, weigh
from pipeline.produce.fetch.entries import Item, Version
from pipeline.produce.fetch.trouble import Refusal, Trouble
from pipeline.produce.stamping import stamped
from pipeline.reasons import Refused
from pipeline.source import Document, Source

_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Record:
    """A version of a record that is to be sent.

    Attributes:
        event: As it goes to the queue.
        version: As it goes into the ledger, once SQS has taken the event.
    """

    event: Event
    version: Version


class Records:
    """Makes the events of a source.

    Args:
        source: The source.
        feed: Its feed.
        secret: The feed's settlement key.
    """

    def __init__(self, source: Source, feed: Feed, secret: bytes) -> None:
        self._source = source
        self._feed = feed
        self._decoder = Decoder(feed)
        self._secret = secret

    def make(self, item: Item, document: Document, etag: str | None) -> Record | None:
        """What is to be sent of a record; None where it was sent as it is.

        The event id tells the record, which of its versions it is, and what the version says: the
        same again after a crash, another one when a record becomes again what it was before.

        Raises:
            Refusal: The source's function, or the feed's contract, does not take it.
        """
        body = self._body(document)
        content = hashlib.blake2b(
            body.encode(), digest_size=_DIGEST_BYTES, key=self._secret
        ).digest()
        if content == item.content:
            return None
        name = f"fetch:{self._source.name}:{item.path}:{item.versions}:{content.hex()}"
        event = Event(name, body)
        if weigh(event) > BYTES:
            raise Refusal(Trouble.TOO_LARGE)
        return Record(stamped(self._feed, event), Version(item.path, content, etag))

    def _body(self, document: Document) -> str:
        try:
            record = self._source.transform(document)
            body = msgspec.json.encode(record, order="deterministic").decode()
        except Exception:  # noqa: BLE001 - the source's own code, on whatever upstream sent
            raise Refusal(Trouble.TRANSFORM) from None
        try:
            self._decoder.decode(body, datetime.now(UTC))
        except Refused as refused:
            field = f":{refused.field}" if refused.field else ""
            raise Refusal(f"{refused.reason}{field}") from None
        return body
