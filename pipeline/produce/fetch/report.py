"""Where a source's records stand: what the ledger says, for people."""

from dataclasses import dataclass

from pipeline.produce.fetch.ledger import Counts, Failure, opened
from pipeline.produce.fetch.reach import Reach
from pipeline.source import Source

_SHOWN = 100  # failed records; the number of all of them is told beside


@dataclass(frozen=True, slots=True)
class Standing:
    """What the ledger says of a source.

    Attributes:
        counts: Records by state.
        still_listed: Of those that are gone, how many the list names all the same.
        failures: The latest records that failed.
    """

    counts: Counts
    still_listed: int
    failures: tuple[Failure, ...]


def read_standing(reach: Reach, source: Source) -> Standing:
    """What the ledger says; asks nobody else.

    Raises:
        FetchError: It was filled from another address, or holds times that are yet to come.
        WarehouseError: Postgres did not do its work.
    """
    with opened(reach, source) as ledger:
        failures = tuple(ledger.failures(limit=_SHOWN))
        return Standing(ledger.counts(), ledger.still_listed(), failures)
