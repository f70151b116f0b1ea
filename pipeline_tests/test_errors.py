"""An error says what, where and what to do, and no value gets past the wall around a stage."""

import sys
import traceback
from collections.abc import Callable

import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from pipeline import errors
from pipeline.errors import (
    KeyringError,
    PipelineError,
    TableMismatch,
    UnexpectedError,
    told,
    values_kept_out,
)
from pipeline_tests.samples import CANARY


def every_error(base: type[PipelineError] = PipelineError) -> list[type[PipelineError]]:
    """The tree, flat."""
    return [base, *(each for child in base.__subclasses__() for each in every_error(child))]


def chained() -> None:
    """Fails as drivers do: the value is in the text, in a cause, in a context and in a note."""
    try:
        int(CANARY)
    except ValueError as error:
        error.add_note(CANARY)
        raise LookupError(CANARY) from error


def wrapped() -> None:
    """Fails with one of this project's errors, raised in the course of another."""
    try:
        chained()
    except LookupError:
        raise KeyringError("the key is gone", remedy="Look for it")  # noqa: B904 - what a slip looks like


def caused() -> None:
    """Fails with one of this project's errors, with the other as its cause."""
    try:
        chained()
    except LookupError as error:
        raise KeyringError("the key is gone", remedy="Look for it") from error


def grouped() -> None:
    """Fails as task groups do."""
    raise ExceptionGroup(CANARY, [ValueError(CANARY), LookupError(CANARY)])


@pytest.mark.parametrize("fail", [chained, wrapped, caused, grouped])
def test_no_value_gets_out_in_any_form_in_which_an_error_is_stored(
    fail: Callable[[], None],
) -> None:
    try:
        with values_kept_out(feed="logins", stage="mask"):
            fail()
    except PipelineError as error:
        info = serializable_error_info_from_exc_info(sys.exc_info())
        stored = [str(error), repr(error), str(error.args), str(vars(error))]
        stored += [*traceback.format_exception(error), info.to_string(), str(info)]
        assert CANARY not in "".join(stored)
        assert "E_" in info.to_string()
    else:
        pytest.fail("the error was swallowed")


def test_an_unforeseen_error_is_known_by_its_type_its_line_and_its_stage() -> None:
    with pytest.raises(UnexpectedError) as caught, values_kept_out(feed="logins", stage="mask"):
        chained()
    line = chained.__code__.co_firstlineno + 6
    assert f"LookupError in stage 'mask', at {__file__}:{line}" in str(caught.value)
    assert caught.value.feed == "logins"


def test_this_projects_own_errors_pass_as_they_are() -> None:
    own = TableMismatch("no", remedy="Alter it", feed="logins", field="ip", rule="varchar(256)")
    with pytest.raises(TableMismatch) as caught, values_kept_out(feed="other", stage="load"):
        raise own
    assert caught.value is own


def test_an_interruption_passes() -> None:
    with pytest.raises(KeyboardInterrupt), values_kept_out(feed="logins", stage="load"):
        raise KeyboardInterrupt


def test_a_stage_that_succeeds_is_left_alone() -> None:
    with values_kept_out(feed="logins", stage="load"):
        passed = True
    assert passed


def test_an_error_says_what_where_and_what_to_do() -> None:
    error = PipelineError(
        "it broke", remedy="Mend it", feed="logins", field="ip", rule="varchar(45)"
    )
    assert str(error) == (
        "E_PIPELINE: it broke (feed 'logins', field 'ip', rule 'varchar(45)'). Mend it"
    )
    assert str(PipelineError("it broke", remedy="Mend it")) == "E_PIPELINE: it broke. Mend it"


def test_every_error_has_a_code_of_its_own_and_stands_in_the_tree() -> None:
    tree = str(errors.__doc__)
    codes = [each.code for each in every_error()]
    assert len(set(codes)) == len(codes)
    assert all(each.__name__ in tree for each in every_error())
    assert all(code.startswith("E_") for code in codes)


def test_of_a_foreign_error_only_the_type_is_told() -> None:
    assert told(ValueError(CANARY)) == "ValueError"
    assert told(KeyringError("gone", remedy="Look")) == "E_KEYRING: gone. Look"
