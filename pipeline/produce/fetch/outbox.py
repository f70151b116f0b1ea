"""Holds records until they fill a call of SQS, sends them, and notes in the ledger what it took."""

import asyncio

from pipeline.errors import QueueError
from pipeline.produce.dispatch import ENTRIES, dispatch, portions
from pipeline.produce.fetch.fetched import Fetched, Tally
from pipeline.produce.fetch.ledger import Ledger
from pipeline.produce.fetch.records import Record
from pipeline.produce.fetch.trouble import Trouble
from pipeline.resources.sqs import SqsQueue


class Outbox:
    """The way to the queue; for one event loop. Whoever fills it up sends, and the others wait.

    Args:
        queue: The feed's queue.
        ledger: Notes what was taken.
        tally: Counts what is sent.
    """

    def __init__(self, queue: SqsQueue, ledger: Ledger, tally: Tally) -> None:
        self._queue = queue
        self._ledger = ledger
        self._tally = tally
        self._waiting: list[Record] = []
        self._sending = asyncio.Lock()

    async def add(self, record: Record) -> None:
        """Takes a record, and sends once there are as many as a call has room for."""
        async with self._sending:
            self._waiting.append(record)
            if len(self._waiting) == ENTRIES:
                await self._send_waiting()

    async def send(self) -> None:
        """Sends what there is.

        Raises:
            QueueError: SQS did not take it all; the ledger knows what it took.
        """
        async with self._sending:
            await self._send_waiting()

    async def _send_waiting(self) -> None:
        records, self._waiting = self._waiting, []
        failed = await asyncio.to_thread(self._send, records)
        self._tally.add(Fetched(sent=len(records) - failed, failed=failed))

    def _send(self, records: list[Record]) -> int:
        versions = {record.event.event_id: record.version for record in records}
        failed = 0
        for portion in portions(record.event for record in records):
            sent = dispatch(self._queue, portion)
            answers = zip(portion, sent.message_ids, strict=True)
            taken = [versions[event.event_id] for event, message_id in answers if message_id]
            self._ledger.mark_sent(taken)
            for event in sent.refusals.final:
                path = versions[event.event_id].path
                self._ledger.mark_failed(path, Trouble.REFUSED_BY_QUEUE)
                failed += 1
            if sent.refusals.retry:
                raise QueueError(
                    f"SQS refused {len(sent.refusals.retry)} records again and again",
                    remedy="Fetch again later; what it took is in the ledger",
                )
        return failed
