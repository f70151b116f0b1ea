"""Puts together what a caller is told of its records: of each, never "202 for all"."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.responses import Response

from pipeline.produce.rest.exchange import Exchange
from pipeline.produce.rest.gather import Failure, Outcome
from pipeline.produce.rest.idempotency import Answer
from pipeline.produce.rest.once import REPLAYED, Done
from pipeline.produce.rest.problems import (
    CONTRACT,
    MEDIA_TYPE,
    QUEUE_UNAVAILABLE,
    REFUSED_BY_QUEUE,
    Problem,
)

RETRY_AFTER: Final = 2
"""Seconds: as long as a queue that is down should be left alone."""

_ACCEPTED: Final = 202
_MIXED: Final = 207


@dataclass(frozen=True, slots=True)
class Taken:
    """A record that is on the queue.

    Attributes:
        event_id: Which event it is.
        message_id: SQS's id of the message.
    """

    event_id: str
    message_id: str


Result = Taken | Problem
"""What came of one record."""


def result(event_id: str, outcome: Outcome, feed: str) -> Result:
    """What came of a record that was sent, or was to be."""
    if isinstance(outcome, str):
        return Taken(event_id, outcome)
    if outcome is Failure.FOR_GOOD:
        return Problem(
            REFUSED_BY_QUEUE,
            "SQS refuses the message for what it holds",
            feed=feed,
            rule="refused_by_queue",
        )
    return Problem(
        QUEUE_UNAVAILABLE,
        "SQS has not confirmed the message, which may be on the queue all the same",
        feed=feed,
        retry_after=RETRY_AFTER,
    )


def for_one(record: Result) -> Done:
    """The answer to a request with one record.

    Raises:
        Problem: It is not known to be on the queue.
    """
    if isinstance(record, Problem):
        raise record
    return Done(Answer(_ACCEPTED, msgspec.json.encode(record)))


def for_batch(records: Sequence[Result], exchange: Exchange) -> Done:
    """The answer to a batch: 202, 207 where only some were taken, 422 or 503 where none was."""
    items = [_item(place, each, exchange) for place, each in enumerate(records)]
    taken = sum(isinstance(each, Taken) for each in records)
    final = not any(
        isinstance(each, Problem) and each.kind is QUEUE_UNAVAILABLE for each in records
    )
    if taken:
        status, outcome = (_ACCEPTED, "ok") if taken == len(records) else (_MIXED, "mixed")
        return Done(Answer(status, msgspec.json.encode({"items": items})), final, outcome)
    if final:
        problem = Problem(CONTRACT, "No record of the batch was taken; `items` says why of each")
    else:
        problem = Problem(QUEUE_UNAVAILABLE, "SQS has confirmed no record of the batch")
    members = problem.members(exchange.error()) | {"items": items}
    return Done(Answer(problem.kind.status, msgspec.json.encode(members)), final, problem.reason)


def respond(done: Done) -> Response:
    """An answer as HTTP."""
    answer = done.answer
    media = MEDIA_TYPE if answer.status >= HTTPStatus.BAD_REQUEST else "application/json"
    headers = {} if done.final else {"retry-after": str(RETRY_AFTER)}
    if done.outcome == REPLAYED:
        headers["idempotency-replayed"] = "true"
    return Response(answer.body, answer.status, headers, media_type=media)


def _item(place: int, record: Result, exchange: Exchange) -> dict[str, Any]:
    if isinstance(record, Taken):
        told = {"event_id": record.event_id, "message_id": record.message_id}
        return {"index": place, "status": _ACCEPTED, **told}
    error = record.members(exchange.error())
    return {"index": place, "status": record.kind.status, "error": error}
