"""What people state in a request, why and who they are: looked at before it is kept for years."""

from pipeline.errors import AuditRefused
from pipeline.masking import leaks


def check_reason(reason: str) -> str:
    """The reason as it is given.

    Raises:
        AuditRefused: It is no text that Postgres can keep, or seems to hold something personal;
            the error does not repeat it.
    """
    for found in leaks.find(check_text(reason), leaks.EVERYWHERE):
        raise AuditRefused(
            f"the reason holds what looks personal ({found.kind})",
            remedy="Write a ticket number: the record is kept for years; nothing was recorded",
        )
    return reason


def check_text(text: str) -> str:
    """The text as it is given.

    Raises:
        AuditRefused: Postgres cannot keep it.
    """
    # Bytes of an argument that are no UTF-8 arrive as lone surrogates, which are not printable.
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise AuditRefused(
            "the reason, or the name of who asks, is not plain text",
            remedy="Write it in UTF-8, without NUL; nothing was recorded",
        )
    return text
