"""What the vault is to keep of a batch: a sealed value behind each pseudonym."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.contract import Feed
from pipeline.masking.keyring import Keyring
from pipeline.masking.policies import Vault

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class VaultRow:
    """One value, sealed.

    Attributes:
        path: Where its field stands in the message.
        token: Its pseudonym.
        subject: 32 bytes that name it under every key version.
        sealed: The value, for whoever has the key.
    """

    path: str
    token: str
    subject: bytes
    sealed: bytes = field(repr=False)


def seal(feed: Feed, raw: "pd.DataFrame", keyring: Keyring) -> tuple[VaultRow, ...]:
    """One row for each distinct value of each field with the policy `Vault`.

    Args:
        feed: The contract.
        raw: The batch before it is masked.
        keyring: The keys.
    """
    rows: list[VaultRow] = []
    for each in feed.columns:
        if isinstance(each.policy, Vault):
            values = raw[each.name].dropna().drop_duplicates().tolist()
            keys = keyring.field_keys(feed.name, each.path)
            tokens = each.policy.mask(values, each.type, keys)
            subjects = each.policy.subjects(values, keys)
            sealed = each.policy.seal(values, each.type, keys)
            for token, subject, content in zip(tokens, subjects, sealed, strict=True):
                rows.append(VaultRow(each.path, str(token), subject, content))
    return tuple(rows)
