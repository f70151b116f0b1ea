"""Does what has an Idempotency-Key once, and answers its retries the same."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from pipeline.errors import Overloaded, PipelineError
from pipeline.produce.rest.idempotency import (
    Answer,
    Begun,
    Claim,
    Different,
    InProgress,
    Replay,
    Store,
)
from pipeline.produce.rest.problems import (
    IN_PROGRESS,
    KEY_REUSED,
    OVERLOADED,
    STORE_UNAVAILABLE,
    Problem,
)

_AGAIN: Final = 1  # seconds

REPLAYED: Final = "replayed"
"""The outcome of a request that was answered before: nothing was done now."""

_logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a request.

    Attributes:
        answer: What the caller is told.
        final: Whether the same request again would be answered the same.
        outcome: For the log.
    """

    answer: Answer
    final: bool = True
    outcome: str = "ok"


async def once(store: Store, claim: Claim | None, work: Callable[[], Awaitable[Done]]) -> Done:
    """Does the work of a request, unless an earlier one with its key has done it.

    Args:
        store: Where answers are kept.
        claim: Of the request's key; None where it has none.
        work: What is to be done.

    Raises:
        Problem: The key is in use, or cannot be looked up: then nothing was done.
    """
    if claim is None:
        return await work()
    match await _begin(store, claim):
        case Replay(answer):
            return Done(answer, outcome=REPLAYED)
        case InProgress():
            detail = "The first request with this key is not answered yet"
            raise Problem(IN_PROGRESS, detail, retry_after=_AGAIN)
        case Different():
            raise Problem(KEY_REUSED, "This key came before with another payload")
    try:
        done = await work()
    except Exception:
        await _settle(store.give_up(claim))
        raise
    await _settle(store.finish(claim, done.answer) if done.final else store.give_up(claim))
    return done


async def _begin(store: Store, claim: Claim) -> Begun:
    try:
        return await store.begin(claim)
    except Overloaded as error:
        raise Problem(OVERLOADED, error.what, retry_after=_AGAIN) from None
    except PipelineError as error:
        _logger.warning("an Idempotency-Key could not be looked up: %s", error)
        detail = "The store of Idempotency-Keys does not answer; nothing was sent"
        raise Problem(STORE_UNAVAILABLE, detail, retry_after=_AGAIN) from None


async def _settle(act: Awaitable[None]) -> None:
    """The messages are sent or not by now: what the store says cannot change the answer."""
    try:
        await act
    except PipelineError as error:
        _logger.warning("the answer to an Idempotency-Key could not be kept: %s", error)
