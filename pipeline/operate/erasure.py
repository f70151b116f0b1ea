"""The report of an erasure: what was forgotten, and what was not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pipeline.errors import AuditRefused
from pipeline.masking.policies import Vault

_WHAT_STAYS: Final = {
    "encrypt": "whoever has the key can open it",
    "ip_crypt": "whoever has the key can open it",
    "vault": "it is in the vault; forget it by its own value",
    "pseudonymize": "one-way; rows of one person can still be joined",
    "keep": "it stands in the clear",
    "redact": "nothing of the value shows",
}
_PART_SHOWS: Final = "a part of the value shows"


@dataclass(frozen=True, slots=True)
class Remainder:
    """Another personal column of the same rows: its name, its policy, and how many rows fill it."""

    column: str
    policy: str
    rows: int


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was forgotten, and what was not.

    Attributes:
        column: The column.
        policy: Its policy.
        destroyed: Rows of the vault that are gone.
        rows: Rows of the table that carried a pseudonym of theirs.
        deleted: How many of these are gone; None where nobody asked for that.
        others: The other personal columns of these rows.
        sealed: Sealed messages in the feed's quarantine, which nobody has searched.
        unknown: Addresses that were given, and do not stand in the column.
        others_may_stay: Whether other pseudonyms of the same persons may stand in the column: only
            whoever knows the value can tell.
    """

    column: str
    policy: str
    destroyed: int
    rows: int
    deleted: int | None
    others: tuple[Remainder, ...]
    sealed: int
    unknown: int = 0
    others_may_stay: bool = False

    @property
    def _is_refused(self) -> bool:
        return self.policy != Vault.name and self.deleted is None and self.rows > 0

    def check(self) -> None:
        """Whether they were forgotten, if there was anybody to forget.

        Raises:
            AuditRefused: The policy leaves no way but to delete rows, and nobody asked for that.
        """
        if self._is_refused:
            raise AuditRefused(
                f"with the policy {self.policy} a person is forgotten by deleting rows, or the key",
                remedy="Ask for it: --delete-rows (delete_rows: true); nothing was changed",
                field=self.column,
            )

    def lines(self) -> Iterator[str]:
        """The report, for people."""
        if self.policy == Vault.name:
            yield f"vault rows destroyed: {self.destroyed}"
        if self.deleted is not None:
            yield f"rows deleted: {self.deleted}"
        elif self.policy == Vault.name:
            yield f"rows that carry the pseudonym, now for ever one-way: {self.rows}"
        else:
            yield f"rows that carry the pseudonym, untouched: {self.rows}"
        yield from self._doubts()
        for other in self.others:
            told = _WHAT_STAYS.get(other.policy, _PART_SHOWS)
            if self.deleted is None:
                yield f"not forgotten: {other.column} ({other.policy}) in {other.rows} rows: {told}"
            elif other.policy == Vault.name:
                yield f"not forgotten: {other.column} of {other.rows} deleted rows: {told}"
        yield f"not searched: {self.sealed} sealed messages in the quarantine"
        yield "not reached: backups and the write-ahead log, until they expire"

    def _doubts(self) -> Iterator[str]:
        """What speaks against everybody having been found."""
        if not (self.destroyed or self.rows):
            yield (
                "nobody was found: never there, already forgotten, or spelled otherwise than"
                " producers do"
            )
        elif not (self.destroyed or self.deleted or self._is_refused):
            yield "there was nothing left to do"
        if self.unknown:
            yield f"not in this column, and not recorded: {self.unknown} of the given addresses"
        if self.others_may_stay:
            yield "not searched: this person's pseudonyms of other key versions, which may remain"
