"""Why a request or a record came to nothing: the codes that stand in the ledger."""

from enum import StrEnum


class Trouble(StrEnum):
    """A code. It never holds what upstream sent. An HTTP status has `http_` before its number."""

    # What may pass
    CONNECT = "connect"  # no connection, no name, or the connection broke
    TIMEOUT = "timeout"
    CUT_SHORT = "cut_short"  # less, or other bytes, than the headers promise
    NOT_JSON = "not_json"  # an error page, as a rule, or half a document

    # What will not
    REDIRECTED = "redirected"  # to another host, or again and again
    ENCODING = "encoding"  # another compression than was asked for
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_AN_OBJECT = "not_an_object"
    TRANSFORM = "transform"  # the source's function makes no record of it
    REFUSED_BY_QUEUE = "refused_by_queue"  # characters that SQS takes in no message


class Refusal(Exception):
    """A request came to nothing, and trying again would not help.

    Args:
        code: Why.
    """

    def __init__(self, code: str) -> None:
        self.code = code
        self.attempts = 1
        super().__init__(code)


class Passing(Refusal):
    """A request came to nothing, for a reason that may pass by itself."""
