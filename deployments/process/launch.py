"""How a replica gets its model process: forked by the zygote of its node, or else started from nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import deployments
from configs.hardware import DEVICES, are_hidden
from deployments.process.zygote import Order, place_order

log = logging.getLogger("cyberimage.model")

#: Seconds that a zygote may take to open its socket; its imports come after that, and are waited for.
SOCKET_WITHIN_S = 5.0
_POLL_S = 0.02
#: Imports start here, wherever the replica's process was started.
ROOT = str(Path(deployments.__file__).parent.parent)


class Process(Protocol):
    """A process that was launched; `channel` is this side's end of what it serves."""

    channel: socket.socket

    def kill(self) -> None:
        """SIGKILL. Nothing if it has ended."""
        ...

    async def ended(self) -> int | None:
        """Wait for its end: the exit code, negative for a signal; None where nobody could see it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Launcher:
    """Starts model processes in this process's environment. Without a `zygote`, each imports for itself."""

    zygote: Path | None = None

    async def __call__(self) -> Process:
        if self.zygote is not None and await asyncio.to_thread(_appears, self.zygote):
            try:
                return await Forked.of(self.zygote)
            except (OSError, EOFError) as error:
                log.warning("the zygote does not answer (%s): this model process imports for itself", error)
        return await asyncio.to_thread(Spawned)


def _appears(path: Path) -> bool:
    """Whether the socket is there, or comes while the node is being set up."""
    deadline = time.monotonic() + SOCKET_WITHIN_S
    while not path.exists():
        if time.monotonic() > deadline:
            log.warning("no zygote at %s: this model process imports for itself", path)
            return False
        time.sleep(_POLL_S)
    return True


def _environment() -> dict[str, str]:
    """This process's, in which Ray may have named a GPU that is none, or one that is hidden."""
    hidden = {DEVICES: ""} if are_hidden() else {}
    return os.environ | hidden


class Spawned:
    """A Python process of its own."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            paths = [ROOT, os.environ.get("PYTHONPATH", "")]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "deployments.process.child", str(theirs.fileno())],
                env=_environment() | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def kill(self) -> None:
        self._process.kill()

    async def ended(self) -> int | None:
        return await asyncio.to_thread(self._process.wait)


class Forked:
    """A copy of the zygote, which watches it for us."""

    def __init__(
        self, channel: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int
    ) -> None:
        self.channel = channel
        self._reader = reader
        self._writer = writer
        self._pidfd = os.pidfd_open(pid)

    @classmethod
    async def of(cls, zygote: Path) -> Forked:
        """Raises OSError or EOFError if the zygote is gone, or goes before it has done its imports."""
        channel, theirs = socket.socketpair()
        try:
            with theirs:
                connection = await asyncio.to_thread(_ordered, zygote, theirs.fileno())
            reader, writer = await asyncio.open_unix_connection(sock=connection)
            try:
                return cls(channel, reader, writer, json.loads(await _line(reader))["pid"])
            except BaseException:
                writer.close()
                raise
        except BaseException:
            channel.close()
            raise

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def ended(self) -> int | None:
        try:
            return int(json.loads(await _line(self._reader))["status"])
        except (EOFError, ConnectionError):
            return None
        finally:
            self._writer.close()
            os.close(self._pidfd)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """Raises EOFError if the zygote has ended."""
    if not (line := await reader.readline()):
        raise EOFError("it has ended")
    return line


def _ordered(zygote: Path, channel: int) -> socket.socket:
    """The connection through which a process was ordered. stdout and stderr are this process's own."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(zygote))
        environment, folder = _environment(), os.getcwd()
        place_order(connection, Order(environment=environment, folder=folder, fds=(channel, 1, 2)))
    except BaseException:
        connection.close()
        raise
    return connection
