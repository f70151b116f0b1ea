"""Each policy does to a value what it says, and says what its column is like."""

import hashlib
import hmac
import re
import unicodedata
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Final

import pytest

from pipeline.masking.keyring import FieldKeys, Keyring
from pipeline.masking.policies import UNDECLARED, Keep, Policy, Pseudonymize
from pipeline.types import Integer, IpAddress, Text
from pipeline_tests.samples import CANARY, KEYRING

KEYS: Final = KEYRING.field_keys("user_logins", "ip")
VALUES: Final[list[object]] = ["10.0.0.1", "", "é", 7, 1.5, True, datetime(2024, 2, 29, tzinfo=UTC)]
TEXT: Final = Text(9)


def pseudonym(value: object, keys: FieldKeys = KEYS) -> str:
    (token,) = Pseudonymize().mask([value], TEXT, keys)
    return str(token)


def test_a_pseudonym_is_the_hmac_of_the_value_behind_the_version_of_its_key() -> None:
    secret = KEYS.secret("field", version=1)
    digest = hmac.digest(secret, b"10.0.0.1", hashlib.sha256)
    assert pseudonym("10.0.0.1") == "v1." + urlsafe_b64encode(digest).decode().rstrip("=")


def test_every_pseudonym_has_the_declared_shape_and_fits_its_column() -> None:
    policy = Pseudonymize()
    for version in (1, 42, 2**31 - 1):
        keys = Keyring({version: bytes(64)}, current=version).field_keys("user_logins", "ip")
        for token in policy.mask(VALUES, TEXT, keys):
            assert re.fullmatch(policy.pattern, str(token))
            assert len(str(token)) <= 256
    assert policy.sql(TEXT) == policy.sql(Integer()) == "varchar(256)"


def test_a_pseudonym_shows_nothing_of_its_value() -> None:
    assert CANARY not in pseudonym(CANARY)


def test_another_key_gives_another_pseudonym() -> None:
    keys = [
        KEYS,
        KEYRING.field_keys("user_logins", "device_id"),
        KEYRING.field_keys("other", "ip"),
        Keyring({1: bytes(64)}, current=1).field_keys("user_logins", "ip"),
    ]
    assert len({pseudonym("10.0.0.1", each) for each in keys}) == len(keys)


def test_two_spellings_of_one_text_have_one_pseudonym() -> None:
    """Fault 37."""
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert pseudonym(composed) == pseudonym(decomposed)


def test_a_kept_value_stays_as_it_is() -> None:
    assert Keep().mask(VALUES, TEXT, KEYS) == VALUES
    assert Keep().sql(TEXT) == "varchar(9)"


def test_an_undeclared_field_would_reveal_nothing_even_if_it_got_by() -> None:
    assert UNDECLARED.mask(VALUES, TEXT, KEYS) == [None] * len(VALUES)
    assert UNDECLARED.sql(IpAddress()) == "varchar(45)"
    assert not re.fullmatch(UNDECLARED.pattern, "anything")


@pytest.mark.parametrize(
    ("policy", "personal", "sound"),
    [
        (Keep(), False, True),
        (Keep(), True, False),
        (Keep(reason="analysts join on it"), True, True),
        (Pseudonymize(), False, True),
        (Pseudonymize(), True, True),
        (UNDECLARED, False, False),
        (UNDECLARED, True, False),
    ],
)
def test_a_policy_knows_which_fields_it_is_right_for(
    *, policy: Policy, personal: bool, sound: bool
) -> None:
    assert (policy.problem(TEXT, personal=personal) is None) is sound
