"""Each policy does to a value what it says, and says what its column is like."""

import hashlib
import hmac
import re
import unicodedata
from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from typing import Final

import pytest

from pipeline.masking.keyring import FieldKey
from pipeline.masking.policies import UNDECLARED, Keep, Policy, Pseudonymize
from pipeline_tests.samples import CANARY, KEYRING

KEY: Final = KEYRING.field_key("user_logins", "ip")
VALUES: Final[list[object]] = ["10.0.0.1", "", "é", 7, 1.5, True, datetime(2024, 2, 29, tzinfo=UTC)]


def test_a_pseudonym_is_the_hmac_of_the_value_behind_the_version_of_its_key() -> None:
    digest = hmac.digest(KEY.secret, b"10.0.0.1", hashlib.sha256)
    expected = "v1." + urlsafe_b64encode(digest).decode().rstrip("=")
    assert Pseudonymize().mask(["10.0.0.1"], KEY) == [expected]


def test_every_pseudonym_has_the_declared_shape_and_fits_its_column() -> None:
    policy = Pseudonymize()
    for version in (1, 42, 2**31 - 1):
        for token in policy.mask(VALUES, FieldKey(version, KEY.secret)):
            assert re.fullmatch(policy.pattern, str(token))
            assert len(str(token)) <= 256
    assert policy.sql("varchar(9)") == policy.sql("bigint") == "varchar(256)"


def test_a_pseudonym_shows_nothing_of_its_value() -> None:
    (token,) = Pseudonymize().mask([CANARY], KEY)
    assert CANARY not in str(token)


def test_another_key_gives_another_pseudonym() -> None:
    keys = [
        KEY,
        KEYRING.field_key("user_logins", "device_id"),
        KEYRING.field_key("other", "ip"),
        FieldKey(2, KEY.secret),
    ]
    assert len({str(Pseudonymize().mask(["10.0.0.1"], key)) for key in keys}) == len(keys)


def test_two_spellings_of_one_text_have_one_pseudonym() -> None:
    """Fault 37."""
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    assert composed != decomposed
    one, other = Pseudonymize().mask([composed, decomposed], KEY)
    assert one == other


def test_a_kept_value_stays_as_it_is() -> None:
    assert Keep().mask(VALUES, KEY) == VALUES
    assert Keep().sql("varchar(9)") == "varchar(9)"


def test_an_undeclared_field_would_reveal_nothing_even_if_it_got_by() -> None:
    assert UNDECLARED.mask(VALUES, KEY) == [None] * len(VALUES)
    assert UNDECLARED.sql("date") == "date"
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
    assert (policy.problem(personal=personal) is None) is sound
