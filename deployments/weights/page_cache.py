"""Weights read ahead into the page cache, so that loading them does not wait for the disk."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from configs.models import ModelSpec
from deployments.weights.fetching import local_files
from deployments.weights.places import DownloadSettings

log = logging.getLogger("cyberimage.weights")

#: Bytes read at a time; between two reads it is asked whether to go on.
CHUNK = 8 << 20
#: Memory that reading ahead leaves to others, as a part of the machine's.
RESERVE = 0.1
#: The lowest priority for the processor. Linux derives that of the disk from it (ioprio_set(2)).
NICE = 19


def available_memory() -> int:
    """Bytes that may be filled without taking memory from a process."""
    memory = psutil.virtual_memory()
    return max(0, int(memory.available - RESERVE * memory.total))


class ReadAhead:
    """Reads the weights of one model at a time, in a thread of low priority. A new wish replaces the last."""

    def __init__(
        self, settings: DownloadSettings, *, available: Callable[[], int] = available_memory
    ) -> None:
        self._settings = settings
        self._available = available
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, spec: ModelSpec) -> None:
        """Returns at once. A model that is not on this machine or does not fit its memory is left alone."""
        self.cancel()
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._read, args=(spec, self._stop), name=f"read ahead {spec.name}", daemon=True
        )
        self._thread.start()

    def cancel(self) -> None:
        self._stop.set()

    def wait(self) -> None:
        """Until what has begun is done or cancelled."""
        if self._thread is not None:
            self._thread.join()

    def _read(self, spec: ModelSpec, stop: threading.Event) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        try:
            files = local_files(spec, self._settings)
            size = sum(file.stat().st_size for file in files)
            if size > self._available():
                log.info("%s is not read ahead: %.1f GB do not fit into memory", spec.name, size / 1e9)
                return
            started = time.monotonic()
            done = read(files, stop)
            log.info("%s: %.2f GB read ahead in %.1f s", spec.name, done / 1e9, time.monotonic() - started)
        except OSError as error:
            log.warning("%s is not read ahead: %s", spec.name, error)


def read(files: Iterable[Path], stop: threading.Event) -> int:
    """Read the files from their beginnings to their ends; the number of bytes."""
    buffer = bytearray(CHUNK)
    done = 0
    for path in files:
        with path.open("rb", buffering=0) as file:
            while not stop.is_set() and (size := file.readinto(buffer)):
                done += size
    return done
