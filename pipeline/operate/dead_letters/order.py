"""What a redrive of dead letters is to do, and the ways in which a feed's can be redriven."""

from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import urlsplit

from pipeline.contract import SENT_AT, Feed
from pipeline.errors import SettingsError
from pipeline.resources.outside import Outside
from pipeline.resources.sqs_client import Endpoint

Way = Literal["copy", "move"]
"""`move`: SQS moves the messages itself. `copy`: each is sent to the feed's queue as who it was
when it was first sent, then deleted from the dead-letter queue."""

FASTEST: Final = 500
"""Messages a second, the limit of a move of SQS."""

EVERYTHING: Final = 10**9
"""More messages than a queue is ever asked to move at once."""

# Of the endpoints of SQS, those of a VPC and of China included. Source: AWS, "Amazon Simple Queue
# Service endpoints and quotas".
_AWS: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to redrive, and why.

    Attributes:
        feed: Whose dead letters.
        reason: Why, in words that an auditor will understand.
        stated_by: Who asks, by their own account.
        per_second: Messages a second at most.
        most: Messages at most; those beyond stay. A move takes all.
        way: How; None for the first of `ways`, or to copy where not all are to go.
    """

    feed: Feed
    reason: str
    stated_by: str
    per_second: int = 50
    most: int = EVERYTHING
    way: Way | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.per_second <= FASTEST or self.most < 1:
            raise SettingsError(
                f"a redrive is of at least one message, at 1 to {FASTEST} a second",
                remedy="Correct the numbers; nothing was moved",
                feed=self.feed.name,
            )


@dataclass(slots=True)
class Tally:
    """What a redrive came to, as far as it got.

    Attributes:
        moved: Messages that are on the feed's queue now.
        failed: Messages that SQS refused for what they hold: they are still dead letters.
        kept: Of those moved, how many SQS did not delete: they are dead letters as well, and
            settled as duplicates when they are redriven again.
        foreign: Messages that were left alone, since another queue had given them up.
        left: Messages on the dead-letter queue afterwards, as SQS estimates it.
    """

    moved: int = 0
    failed: int = 0
    kept: int = 0
    foreign: int = 0
    left: int = 0

    def done(self) -> str:
        """What was done."""
        kept = f" ({self.kept} of them not deleted)" if self.kept else ""
        foreign = f", left alone as another queue's {self.foreign}" if self.foreign else ""
        return f"moved {self.moved}{kept}, failed {self.failed}{foreign}"

    def __str__(self) -> str:
        return f"{self.done()}, left {self.left}"


def ways(feed: Feed, outside: Outside) -> tuple[Way, ...]:
    """The ways in which nothing of this feed changes, the preferred one first.

    A move gives each message a new id and a new time of sending. So a date would change where the
    contract takes that time, and what carries no event id would be another event where the
    contract has no key.
    """
    if not feed.key or any(each.path == SENT_AT for each in feed.fields):
        return ("copy",)
    return ("move", "copy") if _is_aws(outside.endpoint) else ("copy", "move")


def _is_aws(endpoint: Endpoint) -> bool:
    """Whether it is SQS itself: what only speaks its protocol may not move messages, or not so."""
    if endpoint.url is None:
        return not endpoint.embedded
    return (urlsplit(endpoint.url).hostname or "").endswith(_AWS)


def read_way(text: str) -> Way:
    """A way by its name.

    Raises:
        SettingsError: It is none.
    """
    for way in get_args(Way):
        if text == way:
            found: Way = way
            return found
    raise SettingsError("a way is copy or move", remedy="Choose one; nothing was moved")


def choose_way(order: Order, outside: Outside) -> Way:
    """The way of an order.

    Raises:
        SettingsError: In this way something would change.
    """
    sound = ways(order.feed, outside)
    if order.way is None:
        return sound[0] if order.most == EVERYTHING else "copy"
    if order.way not in sound:
        raise SettingsError(
            "a move would give the messages a new id and a new time of sending, on which this"
            " feed's dates or its key depend",
            remedy="Leave the way out, or choose copy; nothing was moved",
            feed=order.feed.name,
        )
    if order.way == "move" and order.most != EVERYTHING:
        raise SettingsError(
            "a move takes everything",
            remedy="Leave the number of messages out, or choose copy; nothing was moved",
            feed=order.feed.name,
        )
    return order.way
