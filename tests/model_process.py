"""A generator for model processes in tests: it does what its request says. Imports neither torch nor Ray."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Literal

from deployments.contract import JobEvent, Saving
from deployments.errors import OutOfMemory, ProcessDied

Deed = Literal[
    "tell", "wait", "block", "log", "print", "raise", "die", "exit", "kill", "break", "weigh", "save"
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """Deeds in turn; each is told of with its name and what came of it, before the next."""

    deeds: tuple[Deed, ...] = ("tell",)
    model: str = "a-model"


class Puppet:
    """Implements Generator for Wishes."""

    def __init__(self) -> None:
        self.loaded_model: str | None = None
        self.healthy = True

    async def generate(self, wish: Wish) -> AsyncGenerator[Any, None]:
        self.loaded_model = wish.model
        for deed in wish.deeds:
            if deed == "save":
                yield JobEvent(job_id="job-7", event=Saving(output=0))
            else:
                yield deed, await self._do(deed)

    async def _do(self, deed: Deed) -> Any:
        match deed:
            case "tell":
                return {"pid": os.getpid(), "parent": os.getppid(), "environment": dict(os.environ)}
            case "wait":
                await asyncio.sleep(3600)
            case "block":
                time.sleep(3600)  # noqa: ASYNC251
            case "log":
                thread = threading.Thread(target=logging.getLogger("puppet").info, args=("a %s", "word"))
                thread.start()
                thread.join()
                logging.getLogger("puppet").warning("another", extra={"job_id": "job-7"})
            case "print":
                print("on stdout", flush=True)
                print("on stderr", file=sys.stderr, flush=True)
            case "raise":
                raise OutOfMemory("full", hint="less")
            case "die":
                raise ProcessDied("killed")
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "break":
                self.healthy = False
            case "weigh":
                return b"x" * 20_000_000
        return None


class Unmakable:
    def __init__(self) -> None:
        raise ImportError("no such library")


def nothing() -> None:
    """A zygote's imports."""
