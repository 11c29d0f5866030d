"""Load on a server: clients that each wait for a reply before they send again."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import SplitResult, urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

#: The next request, as bytes on the wire.
Requests = Iterator[bytes]


def rate_over_http(url: str, requests: Requests, *, clients: int, seconds: float) -> float:
    """Replies a second. All clients live in this process, on one connection each."""
    return asyncio.run(_rate(urlsplit(url), requests, clients, seconds))


def rate_of_calls(call: Callable[[], object], *, clients: int, seconds: float) -> float:
    """Calls a second from so many threads of this process."""
    begun = time.perf_counter()
    deadline = begun + seconds
    barrier = threading.Barrier(clients)
    with ThreadPoolExecutor(clients) as threads:
        counts = [threads.submit(_calls, call, deadline, barrier) for _ in range(clients)]
        total = sum(count.result() for count in counts)
    return total / (time.perf_counter() - begun)


def _calls(call: Callable[[], object], deadline: float, barrier: threading.Barrier) -> int:
    barrier.wait()
    count = 0
    while time.perf_counter() < deadline:
        call()
        count += 1
    return count


async def _rate(url: SplitResult, requests: Requests, clients: int, seconds: float) -> float:
    host, port = url.hostname, url.port
    connections = [await asyncio.open_connection(host, port) for _ in range(clients)]
    begun = time.perf_counter()
    counts = await asyncio.gather(*(_client(c, requests, begun + seconds) for c in connections))
    elapsed = time.perf_counter() - begun
    for _, writer in connections:
        writer.close()
    return sum(counts) / elapsed


async def _client(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], requests: Requests, deadline: float
) -> int:
    count = 0
    while time.perf_counter() < deadline:
        await _exchange(*connection, next(requests))
        count += 1
    return count


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    body = await reader.readexactly(int(length[1])) if length else b""
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError((head + body).decode())
