"""Being told to stop, by SIGINT or SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stop(threading.Event):
    """Set by the first such signal. Whoever waits for it sees that; other work it can interrupt."""

    def __init__(self) -> None:
        super().__init__()
        self._interrupts = False

    def listen(self) -> None:
        """To be repeated after ray.init(), which puts in a handler that prints a stack trace at SIGTERM."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._told)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """The signal raises KeyboardInterrupt in here, also one that came before."""
        self._interrupts = True
        try:
            if self.is_set():
                raise KeyboardInterrupt
            yield
        finally:
            self._interrupts = False

    def _told(self, *_: Any) -> None:
        self.set()
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt


@contextmanager
def stop_signals() -> Iterator[Stop]:
    """Listens meanwhile; the handlers there were are back afterwards."""
    stop = Stop()
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    stop.listen()
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
