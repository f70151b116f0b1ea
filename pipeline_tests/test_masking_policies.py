"""What holds for every policy: shape, column, what it is for, and nothing of the value."""

import re
from typing import Final

import psycopg
import pytest
from hypothesis import given, settings
from psycopg import sql

from pipeline.masking import policies
from pipeline.masking.keyring import Keyring
from pipeline.masking.mask import mask
from pipeline.masking.policies import UNDECLARED, Keep, Policy
from pipeline.masking.token import read_token
from pipeline.resources import postgres
from pipeline.types import IpAddress, Text
from pipeline_tests.policy_cases import (
    EVERY_POLICY,
    EXTREMES,
    FITS,
    KINDS,
    ROWS,
    as_text,
    batch,
    canonical,
    keys_for,
)
from pipeline_tests.samples import CANARY, KEYRING, quickly

LATEST: Final = 2**32 - 1  # the highest version that the vault can write
LATE: Final = Keyring({1: bytes(range(64)), LATEST: bytes(range(1, 65))}, current=LATEST)
WITH_VERSION: Final = {"encrypt", "pseudonymize", "vault"}
IN_THE_CLEAR: Final = {"keep", "last", "generalize", "ip_prefix"}
NAMES: Final = [each.name for each in FITS]
IDS: Final = [f"{name}-{place}" for place, name in enumerate(NAMES)]


def extremes(name: str) -> list[object]:
    return [canonical(name, value) for value in EXTREMES[name]]


@pytest.mark.parametrize("policy", FITS, ids=IDS)
def test_a_policy_is_for_these_types_and_refuses_the_others_with_a_rule(policy: Policy) -> None:
    for name, kind in KINDS.items():
        problem = policy.problem(kind, personal=True)
        assert (problem is None) is (name in FITS[policy])
        assert problem is None or problem.startswith("policy: ")


@pytest.mark.parametrize(
    ("policy", "personal", "sound"),
    [
        (Keep(), False, True),
        (Keep(), True, False),
        (Keep(reason=" \n"), True, False),
        (Keep(reason="analysts join on it"), True, True),
        (UNDECLARED, False, False),
        (UNDECLARED, True, False),
    ],
)
def test_a_personal_field_is_kept_with_a_reason_and_none_without_a_policy(
    *, policy: Policy, personal: bool, sound: bool
) -> None:
    assert (policy.problem(Text(9), personal=personal) is None) is sound


def test_every_policy_is_tested_here() -> None:
    offered = {each for each in policies.__all__ if each not in {"Policy", "UNDECLARED"}}
    assert offered - {"Undeclared"} == {type(each).__name__ for each in FITS}


def test_an_undeclared_field_would_reveal_nothing_even_if_it_got_by() -> None:
    values: list[object] = [CANARY, 7]
    assert UNDECLARED.mask(values, Text(9), keys_for("text")) == [None, None]
    assert UNDECLARED.sql(IpAddress()) == "varchar(45)"
    assert not re.fullmatch(UNDECLARED.pattern, "anything")


@settings(quickly, max_examples=25)
@given(ROWS)
def test_every_masked_value_has_the_declared_shape(raw: list[dict[str, object]]) -> None:
    rows = [{name: canonical(name, value) for name, value in row.items()} for row in raw]
    masked = mask(EVERY_POLICY, batch(rows), KEYRING)
    for each in EVERY_POLICY.columns:
        for value in masked[each.name].dropna():
            assert fits(each.policy, value)


def fits(policy: Policy, value: object) -> bool:
    return policy.pattern is None or bool(re.fullmatch(policy.pattern, as_text(value)))


def test_every_masked_value_fits_its_column_in_postgres_and_its_pattern_there(
    warehouse_url: str,
) -> None:
    """The longest values there are, under the longest version there is."""
    columns = [each for each in EVERY_POLICY.columns if each.policy.pattern is not None]
    most = max(map(len, EXTREMES.values()))
    rows: list[dict[str, object]] = [
        {name: (extremes(name) * most)[place] for name in KINDS} for place in range(most)
    ]
    masked = mask(EVERY_POLICY, batch(rows), LATE)
    declared = sql.SQL(", ").join(
        sql.SQL("{} {}").format(
            sql.Identifier(each.name),
            sql.SQL(each.policy.sql(each.type)),
        )
        for each in EVERY_POLICY.columns
    )
    with psycopg.connect(warehouse_url) as connection:
        connection.execute(sql.SQL("CREATE TEMPORARY TABLE masked ({})").format(declared))
        postgres.copy(connection, "masked", masked.itertuples(index=False, name=None))
        for each in columns:
            count = sql.SQL("SELECT count(*), count(*) FILTER (WHERE {}::text ~ %s) FROM masked")
            counted = connection.execute(
                count.format(sql.Identifier(each.name)), [f"^({each.policy.pattern})$"]
            ).fetchone()
            assert counted == (most, most), (each.name, counted)


@pytest.mark.parametrize("name", KINDS)
def test_the_version_of_the_key_is_readable_from_the_token(name: str) -> None:
    values = extremes(name)
    for keyring in (KEYRING, LATE):
        for policy in FITS:
            if policy.name in WITH_VERSION:
                for token in policy.mask(values, KINDS[name], keys_for(name, keyring)):
                    assert read_token(str(token))[0] == keyring.current


def test_nothing_of_a_value_shows_but_where_a_policy_says_so() -> None:
    for policy, names in FITS.items():
        if policy.name not in IN_THE_CLEAR and "text" in names:
            masked = policy.mask([CANARY], KINDS["text"], keys_for("text"))
            assert not any(part in str(masked) for part in (CANARY, CANARY[:6], CANARY[-6:]))
