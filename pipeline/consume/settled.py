"""What became of a batch, in numbers, and of several together."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.consume.batch import NOTHING, Account
from pipeline.consume.stages import InHand

if TYPE_CHECKING:
    import pandas as pd

SAMPLE_ROWS = 5
"""Masked rows that are kept to be shown."""


@dataclass(frozen=True, slots=True)
class Enriched:
    """What the calls of an enrichment came to.

    Attributes:
        records: How many were enriched.
        failed: How many were not.
        attempts: Calls in all.
        medians_ms: The median time of a successful call, of each batch.
    """

    records: int
    failed: int
    attempts: int
    medians_ms: tuple[float, ...]

    def __add__(self, other: "Enriched") -> "Enriched":
        return Enriched(
            self.records + other.records,
            self.failed + other.failed,
            self.attempts + other.attempts,
            self.medians_ms + other.medians_ms,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one batch, or of several.

    Attributes:
        account: Where the messages went, those that were settled apart included.
        apart: Those that were.
        kept: How many of them SQS did not delete.
        unknown: How many values were dropped because the contract does not name them.
        seconds: What each stage took; of batches side by side more than went by.
        ages: How old each message was when it was received, in seconds.
        sample: The first masked rows of the latest batch that had any.
        batches: How many batches.
        batch_id: The latest one's.
        enriched: What the enrichment came to, where the feed has one.
    """

    account: Account
    apart: Account = NOTHING
    kept: int = 0
    unknown: int = 0
    seconds: Mapping[str, float]
    ages: tuple[float, ...] = field(repr=False)
    sample: "pd.DataFrame" = field(repr=False)
    batches: int = 1
    batch_id: str | None = None
    enriched: Enriched | None = None

    @classmethod
    def of(cls, hand: InHand, *, apart: Account = NOTHING, kept: int = 0) -> "Settled":
        """What became of a batch that is acknowledged.

        Args:
            hand: The batch.
            apart: What became of its suspects.
            kept: How many of its messages SQS did not delete.
        """
        batch, outcome = hand.batch, hand.outcome
        entries = [*batch.entries, *(reject.entry for reject in batch.rejects)]
        return cls(
            account=(hand.account or NOTHING) + apart,
            apart=apart,
            kept=kept,
            unknown=batch.unknown,
            seconds=dict(hand.seconds),
            batch_id=hand.batch_id,
            ages=tuple(
                (entry.message.received_at - entry.message.sent_at).total_seconds()
                for entry in entries
            ),
            sample=batch.frame.head(SAMPLE_ROWS).copy(),  # a view would keep the whole batch
            enriched=None
            if outcome is None
            else Enriched(
                len(outcome.rows), len(outcome.failures), outcome.attempts, (outcome.median_ms,)
            ),
        )

    def __add__(self, later: "Settled") -> "Settled":
        enriched = [each for each in (self.enriched, later.enriched) if each is not None]
        return Settled(
            account=self.account + later.account,
            apart=self.apart + later.apart,
            kept=self.kept + later.kept,
            unknown=self.unknown + later.unknown,
            seconds=Counter(self.seconds) + Counter(later.seconds),
            ages=self.ages + later.ages,
            sample=self.sample if later.sample.empty else later.sample,
            batches=self.batches + later.batches,
            batch_id=later.batch_id,
            enriched=sum(enriched[1:], enriched[0]) if enriched else None,
        )
