"""A TCP proxy before Postgres, on which connections break in every way that networks know."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any, Final, TypeVar

from chaos.place import HOST

_CHUNK: Final = 65_536
_COMMIT: Final = b"COMMIT\0"
_RESET: Final = struct.pack("ii", 1, 0)  # to linger for no time: a close sends RST, not FIN

_Result = TypeVar("_Result")


class Commit(StrEnum):
    """Which half of a COMMIT is lost."""

    REQUEST = "request"  # the server never hears it
    ANSWER = "answer"  # the server commits, and nobody hears of it


class PostgresProxy:
    """Passes bytes on between clients and a server until it is told otherwise; safe for threads.

    Attributes:
        port: Where it listens.
        latency: Seconds by which it holds up each piece, both ways.
        lost: How many COMMITs it has lost, by half.

    Args:
        server: Tells where the server is now.
    """

    def __init__(self, server: Callable[[], tuple[str, int]]) -> None:
        self.server = server
        self.port = 0
        self.latency = 0.0
        self.silent = False
        self.lost: Counter[Commit] = Counter()
        self._armed: list[Commit] = []
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        """Listens on a free port."""
        self._thread.start()
        listener = socket.create_server((HOST, 0))
        self.port = listener.getsockname()[1]
        self._listening = self._run(asyncio.start_server(self._accept, sock=listener))

    def stop(self) -> None:
        """Breaks every connection and ends; nothing happens where it has not started."""
        if not self._thread.is_alive():
            return
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> int:
        """Resets every connection, both ways; how many there were."""
        return self._run(self._each(_Pair.abort))

    def half_open(self) -> int:
        """Takes the server from every connection and tells no client; how many there were."""
        return self._run(self._each(_Pair.lose_server))

    def go_silent(self) -> None:
        """Swallows every byte from now on, of old connections and of new ones."""
        self.silent = True

    def drop_numb(self) -> None:
        """Resets the connections that have lost bytes: their clients learn of it at last."""
        self._run(self._each(_Pair.abort_if_numb))

    def speak(self) -> None:
        """Passes bytes on again; connections that have lost some are reset."""
        self.silent = False
        self.drop_numb()

    def quicken(self) -> None:
        """Holds nothing up any more."""
        self.latency = 0.0

    def recover(self) -> None:
        """Ends whatever it does to connections, and loses no COMMIT any more."""
        self.quicken()
        self._armed.clear()
        self.speak()

    def lose_commit(self, half: Commit) -> None:
        """Breaks the next connection that commits, at its COMMIT."""
        self._armed.append(half)

    def lost_half(self, said: bytes) -> Commit | None:
        """Which half of the COMMIT is to be lost that ends what a client has said, if any."""
        if _COMMIT not in said or not self._armed:
            return None
        half = self._armed.pop(0)
        self.lost[half] += 1
        return half

    async def _close(self) -> None:
        self._listening.close()
        await self._each(_Pair.abort)
        while self._pairs:  # noqa: ASYNC110 - each notices at its next step
            await asyncio.sleep(0)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = _Pair(self, writer)
        self._pairs.add(pair)
        try:
            await pair.pass_on(reader)
        finally:
            self._pairs.discard(pair)
            pair.abort()

    async def _each(self, act: "Callable[[_Pair], None]") -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            act(pair)
        return len(pairs)

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: PostgresProxy, client: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None
        self._numb = False
        self._deaf = False  # to the server: the answer to a COMMIT is not passed on

    async def pass_on(self, said: asyncio.StreamReader) -> None:
        """Passes on until either side has enough, or the connection is broken."""
        with contextlib.suppress(OSError):
            answered, self._server = await asyncio.open_connection(*self._proxy.server())
            ways = {
                asyncio.ensure_future(self._to_server(said, self._server)),
                asyncio.ensure_future(self._to_client(answered)),
            }
            _, others = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in others:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)  # a broken connection is no news

    async def _to_server(self, said: asyncio.StreamReader, server: asyncio.StreamWriter) -> None:
        end = b""
        while heard := await said.read(_CHUNK):
            if await self._is_swallowed():
                continue
            end = end[1 - len(_COMMIT) :] + heard
            half = self._proxy.lost_half(end)
            if half is Commit.REQUEST:
                return
            self._deaf = half is Commit.ANSWER
            end = end[-len(_COMMIT) :]
            server.write(heard)
            await server.drain()

    async def _to_client(self, answered: asyncio.StreamReader) -> None:
        while heard := await answered.read(_CHUNK):
            if self._deaf:
                return
            if not await self._is_swallowed():
                self._client.write(heard)
                await self._client.drain()
        if self._numb:  # half open: the client is to learn of nothing
            await asyncio.Event().wait()

    async def _is_swallowed(self) -> bool:
        if self._proxy.latency:
            await asyncio.sleep(self._proxy.latency)
        self._numb = self._numb or self._proxy.silent
        return self._numb

    def lose_server(self) -> None:
        self._numb = True
        if self._server is not None:
            _reset(self._server)

    def abort_if_numb(self) -> None:
        if self._numb:
            self.abort()

    def abort(self) -> None:
        for side in (self._client, self._server):
            if side is not None:
                _reset(side)


def _reset(side: asyncio.StreamWriter) -> None:
    if not side.is_closing():
        ours = side.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    side.transport.abort()
