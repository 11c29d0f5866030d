"""Keeps a zygote running on this node."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from deployments.process.launch import ROOT
from deployments.process.zygote import UNFIT

log = logging.getLogger("cyberimage.nursery")

#: Seconds before a zygote that has ended is replaced, doubled each time, up to the second number; after one
#: that has lived as long as that, they begin anew.
RESTART_AFTER_S, RESTART_AFTER_AT_MOST_S = 0.5, 60.0
PRELOAD = "deployments.process.families:import_all"

#: torch asks for the devices while it is imported; asking the driver itself would spoil every fork.
ZYGOTE_ENVIRONMENT = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "PYTHONPATH": ROOT}
#: What Ray says to the process that starts the zygote; the zygote's copies are told for themselves.
FOREIGN = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")


class Nursery:
    """One zygote at a time, from `start` to `close`. It ends with this process, however that ends."""

    def __init__(self, socket: Path, *, preload: str = PRELOAD) -> None:
        """`preload`: `module:function`, what the zygote calls before it forks."""
        self._command = [sys.executable, "-m", "deployments.process.zygote", str(socket), preload]
        self._closed = threading.Event()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name="nursery", daemon=True)

    @property
    def pid(self) -> int | None:
        return self._zygote.pid if self._zygote is not None else None

    def start(self) -> None:
        self._keeper.start()

    def close(self) -> None:
        self._closed.set()
        self._end()
        self._keeper.join()

    def _end(self) -> None:
        """The zygote ends when its standard input does."""
        if self._zygote is not None and self._zygote.stdin is not None:
            self._zygote.stdin.close()

    def _keep(self) -> None:
        pause = RESTART_AFTER_S
        while not self._closed.is_set():
            started = time.monotonic()
            with _start(self._command) as self._zygote:
                if self._closed.is_set():
                    self._end()
                status = self._zygote.wait()
            if status == UNFIT:
                log.error("model processes cannot be forked here: each imports for itself")
                return
            if time.monotonic() - started > RESTART_AFTER_AT_MOST_S:
                pause = RESTART_AFTER_S
            if self._closed.wait(pause):
                return
            log.warning("the zygote has ended (%d): starting another", status)
            pause = min(2 * pause, RESTART_AFTER_AT_MOST_S)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    inherited = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    return subprocess.Popen(command, env=inherited | ZYGOTE_ENVIRONMENT, stdin=subprocess.PIPE)
