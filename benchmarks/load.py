"""A load generator in a process of its own: so many connections, each with one request at a time.

    python -m benchmarks.load URL BODY_FILE CONNECTIONS SECONDS

prints JSON: the answers by status, and the milliseconds that 202 took (50 and 99 of a hundred).
It speaks HTTP/1.1 over bare asyncio streams: any client library would take longer than the
service that it is to measure.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

_TAKEN = 202


async def _client(
    url: str, body: bytes, until: float, statuses: Counter[int], times: list[float]
) -> None:
    """Sends one request after the other; a connection that was cut is made again."""
    place = urlsplit(url)
    request = (
        f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    while time.perf_counter() < until:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        try:
            while (started := time.perf_counter()) < until:
                writer.write(request)
                status = await _answer(reader)
                statuses[status] += 1
                if status == _TAKEN:
                    times.append(time.perf_counter() - started)
        except (ConnectionError, asyncio.IncompleteReadError):
            statuses[0] += 1
        finally:
            writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            await reader.readexactly(int(value))
    return int(head.split(b" ", 2)[1])


async def _load(url: str, body: bytes, connections: int, seconds: float) -> dict[str, object]:
    statuses: Counter[int] = Counter()
    times: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(
        *(_client(url, body, started + seconds, statuses, times) for _ in range(connections))
    )
    taken = sorted(times) or [0.0]
    return {
        "statuses": statuses,
        "seconds": time.perf_counter() - started,
        "p50_ms": taken[len(taken) // 2] * 1000,
        "p99_ms": taken[int(len(taken) * 0.99)] * 1000,
    }


if __name__ == "__main__":
    address, file, connections, seconds = sys.argv[1:]
    content = Path(file).read_bytes()
    print(json.dumps(asyncio.run(_load(address, content, int(connections), float(seconds)))))
