"""What a replica and its model process say to each other: pickled values, each behind its length.

The replica says what to make, and is told Ready. Then, again and again, it says Run, and is told of events
until Ended; Stop asks for Ended before its time. Only processes of one user speak here: unpickling runs code.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployments.contract import Generator

#: Bytes of the value that follows, as an unsigned 64-bit number.
HEADER = struct.Struct("!Q")


@dataclass(frozen=True, kw_only=True, slots=True)
class Make:
    """The first word: what the process is for."""

    title: str
    make: Callable[[], Generator]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ready:
    """The generator is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Arguments of a call to `generate`."""

    arguments: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """End the run at its next step. Without a run, nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """An event of the run."""

    event: Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """The run is over, or the generator could not be made: `error` is what was raised."""

    loaded: str | None = None
    healthy: bool = True
    error: Exception | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Logged:
    """A line for the replica's log."""

    record: logging.LogRecord


Frame = Make | Ready | Run | Stop | Told | Ended | Logged


class Channel:
    """One end of a stream socket between a replica and its model process."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        return cls(*await asyncio.open_unix_connection(sock=end))

    def put(self, frame: Frame) -> None:
        """Send when there is time; only on the event loop's thread."""
        self._writer.write(packed(frame))

    async def send(self, frame: Frame) -> None:
        """Raises ConnectionError if the other end is closed."""
        self.put(frame)
        await self._writer.drain()

    async def receive(self) -> Frame:
        """Raises EOFError if the other end is closed."""
        try:
            (size,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
            frame: Frame = pickle.loads(await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise EOFError("the other end is closed") from error
        return frame

    def close(self) -> None:
        self._writer.close()


def packed(frame: Frame) -> bytes:
    """An error that cannot be pickled, or not be read again, is sent as its text."""
    if isinstance(frame, Ended) and frame.error is not None:
        frame = Ended(loaded=frame.loaded, healthy=frame.healthy, error=_portable(frame.error))
    body = pickle.dumps(frame, protocol=pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(body)) + body


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
