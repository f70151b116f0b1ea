"""Reads the shares of broken messages as a command line gives them."""

from collections.abc import Iterable

from pipeline.contract import Feed
from pipeline.errors import SeedError
from pipeline.produce.spoil import spoilable
from pipeline.reasons import Reason


def read_shares(feed: Feed, given: Iterable[str]) -> dict[Reason, float]:
    """The share of each reason from `0.02` (all kinds evenly) and `not_json=0.02`.

    Raises:
        SeedError: One is neither.
    """
    possible = spoilable(feed)
    shares: dict[Reason, float] = {}
    for each in given:
        name, _, share = each.rpartition("=")
        try:
            if name:
                shares[Reason(name)] = float(share)
            else:
                shares |= {reason: float(share) / len(possible) for reason in possible}
        except ValueError:
            raise SeedError(
                "--malformed takes a share, or a reason code and a share",
                remedy=f"Write not_json=0.02, for example; the codes: {', '.join(possible)}",
            ) from None
    return shares
