"""What the ledger knows of a record and of a page of the list."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Item:
    """A record that is due.

    Attributes:
        path: The path of its address, its query included: what it is known by.
        versions: How many versions of it were sent.
        etag: Upstream's tag of the version that was sent last; None where that is not known.
        content: The digest of that version; None likewise.
    """

    path: str
    versions: int
    etag: str | None
    content: bytes | None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a record that SQS has taken.

    Attributes:
        path: The record's.
        content: The digest of its body.
        etag: Upstream's tag of it, if it gave one.
    """

    path: str
    content: bytes
    etag: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the list.

    Attributes:
        count: How many entries the list says that it has.
        next: The path of the next page; None on the last.
        items: The paths of the records that it names.
        etag: Upstream's tag of it, if it gave one.
    """

    count: int
    next: str | None
    items: tuple[str, ...]
    etag: str | None = field(default=None, compare=False)
