"""The embedded SQS over HTTP: an ASGI application that speaks SQS's JSON 1.0 protocol."""

import asyncio
import itertools
import socket
from collections import Counter
from typing import Final

import uvicorn

from pipeline.local.queue.clock import sleep
from pipeline.local.queue.conduct import Conduct, CutError
from pipeline.local.queue.control import Control
from pipeline.local.queue.errors import SqsError
from pipeline.local.queue.message_calls import seconds_to_wait
from pipeline.local.queue.misbehaviour import Misbehaviour
from pipeline.local.queue.names import name_of
from pipeline.local.queue.operation import Answer
from pipeline.local.queue.operations import parse, perform
from pipeline.local.queue.queues import Queues
from pipeline.local.queue.requests import OnQueue, ReceiveMessage, Request, SendMessage
from pipeline.local.queue.spoiling import Work, deletable
from pipeline.local.queue.waiting import WaitingRooms
from pipeline.local.queue.wire import (
    CONTROL,
    Address,
    CuttableProtocol,
    HttpError,
    Receive,
    Reply,
    Scope,
    Send,
    addressed,
    cut,
    read_body,
)
from pipeline.local.queue.witness import Witness

_KEEP_ALIVE: Final = 60
"""Seconds: longer than clients commonly idle between calls, or they find their connection cut."""

_GRACE: Final = 5
"""Seconds in which a call that has begun may end when the server stops."""


class QueueApp:
    """The ASGI application over some queues.

    Args:
        queues: The state that it serves; nobody else may change it meanwhile.
        misbehaviour: What goes wrong. With it, the queue can be steered: see `control`.
        witness: Who sees each delete before it is done.
    """

    def __init__(
        self,
        queues: Queues,
        misbehaviour: Misbehaviour | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._queues = queues
        self._misbehaviour = misbehaviour
        self._control = Control(queues, misbehaviour, witness) if misbehaviour is not None else None
        self._witness = witness
        self._good = Conduct(queues, (), Counter())
        self._rooms = WaitingRooms(queues)
        self._serial = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] != "http":
            raise NotImplementedError(f"No {scope['type']} here, only HTTP")
        try:
            address = addressed(scope)
            reply = Reply(200, await self._answer(address, await read_body(receive), receive))
        except SqsError as error:
            reply = Reply.refused(error)
        except HttpError as error:
            reply = Reply(error.status, {"message": error.message})
        except CutError:
            await cut(scope, receive)
            return
        await reply.send(send, serial=next(self._serial))

    def release_waiting(self) -> None:
        """End every long poll at once, empty-handed; call it on the application's own loop."""
        self._rooms.close()

    async def _answer(self, address: Address, body: bytes, receive: Receive) -> Answer:
        if address.service == CONTROL:
            if self._control is None:
                raise HttpError(400, "This queue behaves, and cannot be steered")
            return self._control.perform(address.operation, body)
        request = parse(address.operation, body)
        conduct = self._conduct(address.operation, request)
        conduct.begin()
        if self._witness is not None:
            await self._show(request, self._witness)

        def work(asked: Request) -> Answer:
            return perform(self._queues, address.operation, asked, address.host)

        if isinstance(request, ReceiveMessage):
            nothing = conduct.finds_nothing(name_of(request.queue_url))
            answer = {} if nothing else await self._receive(request, conduct.spoil(work), receive)
        else:
            answer = self._carry_out(conduct.spoil(work), request)
        await conduct.end()
        return answer

    def _conduct(self, operation: str, request: Request) -> Conduct:
        """What is to go wrong with a call."""
        if self._misbehaviour is None:
            return self._good
        queue = name_of(request.queue_url) if isinstance(request, OnQueue | SendMessage) else ""
        chosen = self._misbehaviour.of_call(operation, queue)
        return Conduct(self._queues, chosen, self._misbehaviour.counts)

    async def _show(self, request: Request, witness: Witness) -> None:
        """Let the witness see, in a thread, what a request would delete."""
        for name, message in deletable(self._queues, request):
            await asyncio.to_thread(witness.sees_delete, name, message)

    def _carry_out(self, work: Work, request: Request) -> Answer:
        try:
            return work(request)
        finally:
            self._rooms.call_all()

    async def _receive(self, request: ReceiveMessage, work: Work, receive: Receive) -> Answer:
        """Receive, and again whenever there may be something, until the time is up.

        A client that hangs up is noticed, so that no message is handed to it and hidden in vain.
        """
        answer = self._carry_out(work, request)
        seconds = 0 if answer else seconds_to_wait(self._queues, request)
        if not seconds:
            return answer
        ends = [
            asyncio.ensure_future(receive()),
            asyncio.ensure_future(sleep(self._queues.clock, seconds)),
        ]
        try:
            while not answer and await self._rooms.wait(name_of(request.queue_url), ends):
                answer = self._carry_out(work, request)
        finally:
            for end in ends:
                end.cancel()
        return answer


def create_app(
    queues: Queues, misbehaviour: Misbehaviour | None = None, witness: Witness | None = None
) -> QueueApp:
    """The ASGI application over these queues, as `QueueApp` describes."""
    return QueueApp(queues, misbehaviour, witness)


class QueueServer(uvicorn.Server):
    """Uvicorn over the application, which ends long polls before it stops.

    Args:
        app: What `create_app` made. The moment for the queues' snapshot is after `serve`, which
            raises the signal that stopped it again: catch it, or there is no such moment.
    """

    def __init__(self, app: QueueApp) -> None:
        self._app = app
        super().__init__(
            uvicorn.Config(
                app,
                http=CuttableProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=_GRACE,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, send waiting receivers home, finish what has begun."""
        self._app.release_waiting()
        await super().shutdown(sockets)
