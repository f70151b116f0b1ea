"""A server that gives the same answers to every call: what is left is the client's share.

`python -m benchmarks.canned` serves on a free loopback port, and prints where. `--delay` is the
answer time of a real SQS, in seconds.
"""

import argparse
import asyncio
import json
import socket
import uuid
from typing import Final, cast

import uvloop

_TEN: Final = 10
_BODY: Final = json.dumps({"text": "x" * 300})  # characters: about one login
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


def _answer(content: dict[str, object]) -> bytes:
    body = json.dumps(content).encode()
    kind, length = "Content-Type: application/x-amz-json-1.0", f"Content-Length: {len(body)}"
    return f"HTTP/1.1 200 OK\r\n{kind}\r\n{length}".encode() + _END + body


_RECEIVED: Final = _answer(
    {
        "Messages": [
            {
                "MessageId": str(uuid.uuid4()),
                "ReceiptHandle": "r" * 200,
                "MD5OfBody": "0" * 32,
                "Body": _BODY,
                "Attributes": {"SentTimestamp": "1700000000000", "ApproximateReceiveCount": "1"},
                "MessageAttributes": {
                    "event_id": {"DataType": "String", "StringValue": str(uuid.uuid4())}
                },
            }
            for _ in range(_TEN)
        ]
    }
)
_DELETED: Final = _answer({"Successful": [{"Id": str(place)} for place in range(_TEN)]})


class _Canned(asyncio.Protocol):
    """One connection; a call is answered once its body is there."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._heard = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while (end := self._heard.find(_END)) >= 0:
            head = self._heard[:end].lower()
            length = int(head.partition(_LENGTH)[2].partition(b"\r\n")[0])
            whole = end + len(_END) + length
            if len(self._heard) < whole:
                return
            self._heard = self._heard[whole:]
            self._say(_RECEIVED if b"amazonsqs.receivemessage" in head else _DELETED)

    def _say(self, answer: bytes) -> None:
        assert self._transport is not None  # noqa: S101 - made before anything is heard
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


async def _serve(delay: float) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(lambda: _Canned(delay), sock=listener)
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    uvloop.run(_serve(parser.parse_args().delay))
