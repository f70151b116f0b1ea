"""Whatever comes, a body is read or refused, and a repeated key is never overlooked."""

import json
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contract import Feed, Field
from pipeline.decode import Decoder
from pipeline.masking.policies import Keep
from pipeline.reasons import Reason, Refused
from pipeline.types import Integer, Text
from pipeline_tests.samples import EVERY_TYPE, USER_LOGINS, decode, quickly, reading

LOGINS: Final = Decoder(USER_LOGINS)
READINGS: Final = Decoder(EVERY_TYPE)
WORDS: Final = st.text(alphabet='ab:"\\{}, \u2028é', max_size=4)
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)
OPEN: Final = Decoder(
    Feed(
        name="anything",
        description="A feed that takes every object.",
        queue="anything",
        table="anything",
        fields=(
            Field("n", Integer(), Keep(), nullable=True),
            Field("t", Text(9), Keep(), nullable=True),
        ),
    )
)
SPACES: Final = st.sampled_from(["", " ", "\n\t"])
WRITERS: Final[st.SearchStrategy[Callable[[object], str]]] = st.sampled_from(
    [json.dumps, lambda value: json.dumps(value, ensure_ascii=False)]
)


@quickly
@given(record=st.dictionaries(WORDS, VALUES, max_size=5), writer=WRITERS)
def test_an_object_without_a_repeated_key_is_never_refused_for_one(
    record: dict[str, object], writer: Callable[[object], str]
) -> None:
    assert decode(OPEN, writer(record)).unknown == len(record)


@quickly
@given(
    record=st.dictionaries(WORDS, VALUES, min_size=1, max_size=5),
    again=VALUES,
    space=SPACES,
    wrapped=st.sampled_from(["{}", '{{"x": {}}}', '{{"x": [1, {}]}}']),
    data=st.data(),
)
def test_an_object_with_a_repeated_key_is_always_refused(
    record: dict[str, object], again: object, space: str, wrapped: str, data: st.DataObject
) -> None:
    """Fault 34."""
    pairs = [*record.items()]
    name = data.draw(st.sampled_from(list(record)))
    pairs.insert(data.draw(st.integers(0, len(pairs))), (name, again))
    written = [f"{json.dumps(k)}{space}:{space}{json.dumps(v)}" for k, v in pairs]
    body = wrapped.format("{" + f",{space}".join(written) + "}")
    with pytest.raises(Refused) as caught:
        decode(OPEN, body)
    assert caught.value.reason is Reason.DUPLICATE_KEY


@quickly
@given(st.text(max_size=30) | st.text(alphabet='{}[]":,0123eE-.\\untfal \ud800', max_size=30))
def test_any_body_at_all_is_read_or_refused(body: str) -> None:
    for decoder in (LOGINS, OPEN):
        try:
            decode(decoder, body)
        except Refused as refused:
            assert refused.reason in Reason  # noqa: PT017 - either way is right, nothing else


@quickly
@given(st.lists(st.tuples(st.sampled_from(list(reading())), VALUES), min_size=1, max_size=3))
def test_any_values_at_all_are_read_or_refused_by_a_column(
    changes: list[tuple[str, object]],
) -> None:
    """Fault 35."""
    columns = {each.name for each in EVERY_TYPE.fields}
    try:
        decode(READINGS, reading(**dict(changes)))
    except Refused as refused:
        assert refused.field in columns  # noqa: PT017 - either way is right, nothing else
