"""An alert: what failed, where, what to do; and how it reads."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum


class Standing(StrEnum):
    """What an alert says of a failure."""

    NEW = "new"
    GOES_ON = "goes on"
    ENDED = "has ended"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What is told to people. Nothing in it is a value of anybody's data.

    Attributes:
        code: The code of the error, such as E_WAREHOUSE_UNAVAILABLE; or the name of the check.
        feed: The feed, where it is known.
        place: Where: the job and its step, the check, the sensor or the schedule.
        what: What happened: a text of this project, or the type of a foreign error.
        remedy: What to do.
        at: When, in seconds since the epoch; of several, the last one.
        run_id: The run; of several, the last one.
        standing: Whether it is new.
        count: How many times it has happened since it was told of last.
    """

    code: str
    feed: str | None
    place: str
    what: str
    remedy: str
    at: float
    run_id: str | None = None
    standing: Standing = Standing.NEW
    count: int = 1

    @property
    def same(self) -> str:
        """What alerts of the same failure have in common."""
        return f"{self.feed or ''} {self.code} {self.place}"

    @property
    def digest(self) -> str:
        """What stands for `same` where many are kept."""
        return _digest(self.same)

    @property
    def identity(self) -> str:
        """The same for the same alert each time that it is tried, and for no other."""
        return _digest(f"{self.same} {self.at} {self.run_id} {self.standing} {self.count}")

    @property
    def title(self) -> str:
        """In one line."""
        of = f" ({self.feed})" if self.feed else ""
        more = "" if self.standing in {Standing.NEW, Standing.TEST} else f": {self.count} more"
        return f"[{self.standing}] {self.code}{of} at {self.place}{more}"

    def lines(self, link: str | None) -> list[str]:
        """For people to read.

        Args:
            link: The run in the web UI, where there is one.
        """
        moment = datetime.fromtimestamp(self.at, UTC)
        last = f"Last: {moment:%Y-%m-%d %H:%M:%S} UTC"
        run = f", run {self.run_id}" if self.run_id else ""
        told = [self.title, f"What: {self.what}", f"To do: {self.remedy}", f"{last}{run}"]
        return [*told, link] if link else told

    def document(self, link: str | None) -> dict[str, object]:
        """For programs to read."""
        return {
            "id": self.identity,
            "standing": self.standing.value,
            "code": self.code,
            "feed": self.feed,
            "place": self.place,
            "what": self.what,
            "to_do": self.remedy,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds"),
            "count": self.count,
            "run_id": self.run_id,
            "link": link,
        }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
