"""Takes the records of one feed: reads, checks, sends, and answers for each of them."""

import asyncio
import math
from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from pipeline.contract import Feed
from pipeline.messages import Event
from pipeline.produce.dispatch import BYTES, weigh
from pipeline.produce.rest import answers, ids
from pipeline.produce.rest.body import read_body
from pipeline.produce.rest.exchange import Exchange
from pipeline.produce.rest.gather import Outcome
from pipeline.produce.rest.idempotency import Claim
from pipeline.produce.rest.once import Done, once
from pipeline.produce.rest.problems import (
    CONTRACT,
    TOO_LARGE,
    TOO_MANY_REQUESTS,
    Kind,
    Problem,
)
from pipeline.produce.rest.records import Reader, is_batch, split
from pipeline.produce.rest.service import Service
from pipeline.produce.stamping import fitting

_AT_ONCE: Final = 50  # records that are checked before other requests have their turn


_Named = tuple[msgspec.Raw, str]  # a record, and the id of its event


class Intake:
    """The endpoint of one feed.

    Args:
        feed: The feed.
        service: What it works with.
    """

    def __init__(self, feed: Feed, service: Service) -> None:
        self._feed = feed
        self._service = service
        self._reader = Reader(feed)

    async def post(self, request: Request) -> Response:
        """Answers a request, once it is known of each record whether it is on the queue.

        Raises:
            Problem: No record was taken, for one reason.
            CallerGone: The caller hung up.
        """
        exchange: Exchange = request.state.exchange
        exchange.feed = self._feed.name
        given, key = ids.event_id(request), ids.idempotency_key(request)
        exchange.draws = given is None and key is None
        self._pace(exchange, 1)
        with self._service.room.share() as share:
            body = await read_body(request, exchange, self._service.limits, share)
            claim = Claim.of(exchange.sender.name, self._feed.name, key, body) if key else None
            if not is_batch(body):
                share.take(messages=1)
                exchange.records = 1
                name = ids.for_one(exchange.sender.name, given, claim)
                done = await self._one(body, name, claim, exchange)
            else:
                records = split(body)
                share.take(messages=len(records))
                exchange.records = len(records)
                names = ids.for_batch(exchange.sender.name, given, claim, len(records))
                done = await self._batch(list(zip(records, names, strict=True)), claim, exchange)
        exchange.outcome = done.outcome
        return answers.respond(done)

    async def _one(self, body: bytes, name: str, claim: Claim | None, exchange: Exchange) -> Done:
        event = self._event(body, name, TOO_LARGE, exchange.begin_sending(self._feed))

        async def work() -> Done:
            [outcome] = await self._send([event], exchange)
            return answers.for_one(answers.result(event.event_id, outcome, self._feed.name))

        return await once(self._service.store, claim, work)

    async def _batch(
        self, records: Sequence[_Named], claim: Claim | None, exchange: Exchange
    ) -> Done:
        if len(records) > 1:
            self._pace(exchange, len(records) - 1, taken=1)
        checked = await self._check(records, exchange.begin_sending(self._feed))
        events = [each for each in checked if isinstance(each, Event)]

        async def work() -> Done:
            outcomes = iter(await self._send(events, exchange))
            results = [
                answers.result(each.event_id, next(outcomes), self._feed.name)
                if isinstance(each, Event)
                else each
                for each in checked
            ]
            return answers.for_batch(results, exchange)

        if not events:
            return await work()
        return await once(self._service.store, claim, work)

    async def _send(self, events: Sequence[Event], exchange: Exchange) -> list[Outcome]:
        outcomes = await self._service.gatherer.send(self._feed.name, events)
        answered = zip(events, outcomes, strict=True)
        exchange.sent({name: event.event_id for event, name in answered if isinstance(name, str)})
        return outcomes

    async def _check(self, records: Sequence[_Named], trace: str | None) -> list[Event | Problem]:
        checked: list[Event | Problem] = []
        for place, (raw, name) in enumerate(records, start=1):
            try:
                checked.append(self._event(raw, name, CONTRACT, trace))
            except Problem as problem:
                self._service.metrics.rejected(problem.reason)
                checked.append(problem)
            if not place % _AT_ONCE:
                await asyncio.sleep(0)
        return checked

    def _event(
        self, raw: bytes | msgspec.Raw, name: str, too_large: Kind, trace: str | None
    ) -> Event:
        event = fitting(Event(name, self._reader.read(raw), trace=trace))
        if weigh(event) > BYTES:
            detail = f"The record and its event id have more than the {BYTES} bytes that SQS takes"
            raise Problem(too_large, detail, feed=self._feed.name, rule="too_large")
        return event

    def _pace(self, exchange: Exchange, records: int, *, taken: int = 0) -> None:
        wait = self._service.rates.take(exchange.sender, records, taken=taken)
        if wait > 0:
            detail = f"The key may send {exchange.sender.per_second:g} records a second"
            raise Problem(TOO_MANY_REQUESTS, detail, retry_after=math.ceil(wait))
