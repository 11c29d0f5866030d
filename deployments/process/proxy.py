"""A generator whose model lives in a process of its own."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from deployments.contract import Generator
from deployments.errors import ProcessDied
from deployments.process.frames import Channel, Ended, Frame, Logged, Make, Ready, Run, Stop, Told
from deployments.process.launch import Process

log = logging.getLogger("cyberimage.model")

#: Seconds within which a run must end that was told to. Loading does not look up meanwhile, and what an
#: accelerator has in its queue is computed all the same.
STOP_WITHIN_S = 20.0


class ModelProcess:
    """Implements Generator: runs what `make` returns in a process that it launches for the first request.

    That process ends with this one, and is replaced for the next request when it has died, when its
    accelerator has failed, or when a run does not end `stop_within_s` seconds after it was told to.
    Besides what the generator raises, `generate` raises ProcessDied.
    """

    def __init__(
        self,
        make: Callable[[], Generator],
        *,
        title: str,
        launch: Callable[[], Awaitable[Process]],
        stop_within_s: float = STOP_WITHIN_S,
    ) -> None:
        """`make` is pickled; `title` is shown where processes are listed, before the loaded model's name."""
        self._make = Make(title=title, make=make)
        self._launch = launch
        self._stop_within_s = stop_within_s
        self._turn = asyncio.Lock()
        self._child: _Child | None = None
        self._loaded: str | None = None

    @property
    def is_up(self) -> bool:
        """Whether there is a process."""
        return self._child is not None and not self._child.gone

    @property
    def loaded_model(self) -> str | None:
        return self._loaded if self.is_up else None

    async def generate(self, *arguments: Any) -> AsyncGenerator[Any, None]:
        async with self._turn:
            child = await self._ready()
            end: Frame | None = None
            try:
                await child.send(Run(arguments=arguments))
                while isinstance(end := await child.receive(), Told):
                    yield end.event
            finally:
                if not isinstance(end, Ended) and not child.gone:
                    await self._stop(child)
            assert isinstance(end, Ended)
            await self._conclude(end)

    async def unload(self) -> None:
        """End the process, after the running request if there is one. It is gone when this returns."""
        async with self._turn:
            await self.close()

    async def close(self) -> None:
        """End the process now. It is gone when this returns."""
        child, self._child = self._child, None
        if child is not None:
            await child.end()

    async def _ready(self) -> _Child:
        """The process, a new one if need be. Raises ProcessDied if it does not start."""
        if self._child is None or self._child.gone:
            self._loaded = None
            started = time.monotonic()
            self._child = await _Child.start(self._launch, self._make)
            log.info("the model process is ready after %.2f s", time.monotonic() - started)
        return self._child

    async def _conclude(self, end: Ended) -> None:
        """Raises what the run raised, or ProcessDied if its accelerator has failed."""
        self._loaded = end.loaded
        if not end.healthy:
            await self.close()
            raise ProcessDied("its accelerator has failed")
        if end.error is not None:
            raise end.error

    async def _stop(self, child: _Child) -> None:
        """Have the run end, or else end the process."""
        try:
            async with asyncio.timeout(self._stop_within_s):
                await child.send(Stop())
                while not isinstance(reply := await child.receive(), Ended):
                    pass
            self._loaded = reply.loaded
            if not reply.healthy:
                await child.end()
        except ProcessDied as death:
            log.warning("the model process died while it was stopping: %s", death)
        except TimeoutError:
            log.warning("a run did not stop within %g s: ending its process", self._stop_within_s)
            await child.end()
        except BaseException:
            child.kill()
            raise


class _Child:
    """A model process, from its launch to its end."""

    def __init__(self, process: Process, channel: Channel) -> None:
        self._process = process
        self._channel = channel
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read())
        self._killed = False
        self._how = ""
        self.gone = False

    @classmethod
    async def start(cls, launch: Callable[[], Awaitable[Process]], make: Make) -> _Child:
        process = await launch()
        child = cls(process, await Channel.over(process.channel))
        try:
            await child.send(make)
            reply = await child.receive()
        except BaseException:
            child.kill()
            raise
        if not isinstance(reply, Ready):
            await child.end()
            raise ProcessDied(f"it cannot start: {_words(reply)}")
        return child

    async def send(self, frame: Frame) -> None:
        try:
            await self._channel.send(frame)
        except ConnectionError:
            return  # It has died: `receive` says how.

    async def receive(self) -> Frame:
        """The next frame. Raises ProcessDied, with how it ended."""
        frame = await self._frames.get()
        if frame is None:
            self._frames.put_nowait(None)
            await self._reading
            raise ProcessDied(self._how)
        return frame

    def kill(self) -> None:
        if not self.gone:
            self._killed = True
            self._process.kill()

    async def end(self) -> None:
        self.kill()
        await self._reading

    async def _read(self) -> None:
        """Put what the process says into the queue, and its log into this one; see it end."""
        try:
            while True:
                match await self._channel.receive():
                    case Logged(record=record):
                        logging.getLogger(record.name).handle(record)
                    case frame:
                        self._frames.put_nowait(frame)
        except EOFError:
            pass
        except Exception:
            log.exception("the model process cannot be understood: ending it")
            self.kill()
        self.gone = True
        self._channel.close()
        self._how = how_it_ended(await self._process.ended(), killed=self._killed)
        self._frames.put_nowait(None)


def how_it_ended(status: int | None, *, killed: bool = False) -> str:
    """In words, for the person whose job it was. `status` as of subprocess; `killed` by its own replica."""
    if status is None:
        return "nobody saw how it ended"
    if status >= 0:
        return f"exit code {status}"
    reason = f"killed by signal {-status}"
    if -status == signal.SIGKILL and not killed:
        return f"{reason}; out of memory is the usual reason"
    return reason


def _words(frame: Frame) -> str:
    error = frame.error if isinstance(frame, Ended) else None
    return f"{type(error).__name__}: {error}" if error is not None else repr(frame)
