"""The model process: makes a generator and runs what its replica asks for, until the replica goes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import aclosing
from typing import Any

from setproctitle import setproctitle

from deployments.contract import Generator, JobEvent, Saving
from deployments.errors import ProcessDied
from deployments.process.frames import Channel, Ended, Frame, Logged, Make, Ready, Run, Stop, Told
from deployments.process.memory import memory_use

log = logging.getLogger("cyberimage.model")

#: Exit codes: the replica has gone; the generator said that its process is dead.
REPLICA_GONE, DEAD = 0, 70


def main(end: socket.socket) -> None:
    """Serve the replica at the other end of the socket. Does not return."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the server's business.
    use_threads()
    try:
        asyncio.run(_serve(end))
    finally:
        leave(1)


def leave(code: int) -> None:
    """End now. Threads may be in the middle of a step, and what they hold goes with the process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def use_threads() -> None:
    """Tell torch, if it was imported in another environment, how many threads OMP_NUM_THREADS allows."""
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
        torch.set_num_threads(int(wanted) if wanted.isdigit() else os.cpu_count() or 1)


async def _serve(end: socket.socket) -> None:
    """Until the replica goes: at once, whatever is under way."""
    channel = await Channel.over(end)
    try:
        await _work(channel)
    except (EOFError, ConnectionError):
        leave(REPLICA_GONE)


async def _work(channel: Channel) -> None:
    make = await channel.receive()
    assert isinstance(make, Make)
    setproctitle(make.title)
    _log_to(channel)
    try:
        generator = make.make()
    except Exception as error:
        log.exception("the model process cannot start")
        channel.put(Ended(error=error))
        await channel.receive()  # The replica reads that, and closes.
        leave(1)
    gc.freeze()  # What was imported stays: to look at it whenever memory is returned takes 0.2 s.
    channel.put(Ready())
    worker = _Worker(make.title, generator, channel)
    while True:
        worker.obey(await channel.receive())
        await asyncio.sleep(0)  # A run that has not begun could be stopped without a word.


class _Worker:
    """Runs one call at a time; the replica asks for the next one when it was told that the last has ended."""

    def __init__(self, title: str, generator: Generator, channel: Channel) -> None:
        self._title = title
        self._generator = generator
        self._channel = channel
        self._run: asyncio.Task[None] | None = None
        self._named: str | None = None

    def obey(self, frame: Frame) -> None:
        match frame:
            case Run():
                self._run = asyncio.create_task(self._generate(frame))
            case Stop():
                if self._run is not None:
                    self._run.cancel()
            case _:
                raise TypeError(f"unexpected frame {frame!r}")

    async def _generate(self, run: Run) -> None:
        error: Exception | None = None
        try:
            async with aclosing(self._generator.generate(*run.arguments)) as events:
                async for event in events:
                    if not self._healthy:
                        break  # Not the job's failure: it runs again, in another process.
                    self._name()
                    if isinstance(event, JobEvent) and isinstance(event.event, Saving):
                        await self._tell(JobEvent(job_id=event.job_id, event=memory_use()))
                    await self._tell(event)
        except asyncio.CancelledError:
            log.debug("stopped")
        except ConnectionError:
            leave(REPLICA_GONE)
        except ProcessDied:
            leave(DEAD)
        except Exception as raised:
            error = raised
        self._run = None
        await asyncio.sleep(0)  # What other threads have logged goes first.
        self._channel.put(Ended(loaded=self._generator.loaded_model, healthy=self._healthy, error=error))

    async def _tell(self, event: Any) -> None:
        await self._channel.send(Told(event=event))

    @property
    def _healthy(self) -> bool:
        return bool(getattr(self._generator, "healthy", True))

    def _name(self) -> None:
        """Show the loaded model where processes are listed."""
        if self._generator.loaded_model != self._named:
            self._named = self._generator.loaded_model
            setproctitle(f"{self._title} {self._named}" if self._named else self._title)


class _ToReplica(logging.Handler):
    """Sends each record, with its text made up, to the replica, whose log people read."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        frame = Logged(record=_portable(record))
        if threading.get_ident() == self._thread:
            self._channel.put(frame)
        else:
            self._loop.call_soon_threadsafe(self._channel.put, frame)


def _portable(record: logging.LogRecord) -> logging.LogRecord:
    text = record.getMessage()
    if record.exc_info:
        text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
    plain = logging.makeLogRecord(
        {k: v for k, v in vars(record).items() if isinstance(v, str | int | float | None)}
    )
    plain.msg, plain.args, plain.exc_info = text, None, None
    return plain


def _log_to(channel: Channel) -> None:
    root = logging.getLogger()
    root.handlers[:] = [_ToReplica(channel)]
    root.setLevel(logging.INFO)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
