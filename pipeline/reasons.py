"""Why a message breaks its contract: the reason codes that stand in the quarantine."""

from enum import StrEnum


class Reason(StrEnum):
    """A reason code. It says which rule was broken and never holds a value."""

    # The body as a whole
    EMPTY_BODY = "empty_body"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NOT_A_NUMBER = "not_a_number"  # NaN or Infinity, which JSON does not have
    LONE_SURROGATE = "lone_surrogate"
    TOO_DEEP = "too_deep"
    NUMBER_TOO_LARGE = "number_too_large"  # no integer or float of ours can hold it
    DUPLICATE_KEY = "duplicate_key"

    # One field
    MISSING = "missing"
    NULL = "null"
    WRONG_TYPE = "wrong_type"
    TOO_LONG = "too_long"
    NUL_CHARACTER = "nul_character"
    NOT_ALLOWED = "not_allowed"
    OUT_OF_RANGE = "out_of_range"
    BAD_ADDRESS = "bad_address"
    BAD_DATE = "bad_date"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_VERSION = "bad_version"
    VERSION_PART_TOO_LARGE = "version_part_too_large"

    # The call that was to add to it
    ENRICHMENT_FAILED = "enrichment_failed"

    # What only the ledger and the table can tell
    CONFLICT = "conflict"  # the same event id as an earlier message, but other contents
    REFUSED_BY_DATABASE = "refused_by_database"


class Refused(Exception):
    """A body or a value breaks a rule. Carries the code, never the value."""

    def __init__(self, reason: Reason, *, field: str | None = None) -> None:
        self.reason = reason
        self.field = field
        super().__init__(reason.value)
