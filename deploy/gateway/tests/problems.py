"""What every refusal of the gateway must be."""

from typing import Any

import httpx


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The members of a refusal, which must be one of RFC 9457 with that status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    members: dict[str, Any] = answer.json()
    assert set(members) == {"type", "title", "status", "detail", "error_id"}
    assert members["status"] == status
    assert members["error_id"] == answer.headers["x-request-id"]
    return members
