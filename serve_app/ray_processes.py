"""The processes of a Ray that this process has started: whether they live, and how to end them all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import psutil

#: Those on which all others depend, as they call themselves.
CORE = ("gcs_server", "raylet")
#: Seconds that killed processes may take to be gone.
END_TIMEOUT_S = 30.0


class RayProcesses:
    """The core processes among the children of this one, and what they have started."""

    def __init__(self) -> None:
        children = psutil.Process().children()
        self._core = [child for child in children if _name(child) in CORE]

    @property
    def alive(self) -> bool:
        return all(map(_is_alive, self._core))

    def end(self) -> None:
        """Kill them with all that they have started, also that of a raylet which is dead already."""
        processes = {*psutil.Process().children(recursive=True), *self._core, *self._workers()}
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(processes, timeout=END_TIMEOUT_S)

    def _workers(self) -> Iterator[psutil.Process]:
        """Ray tells each worker who its raylet is, and what workers start inherits that."""
        raylets = {str(process.pid) for process in self._core}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("RAY_RAYLET_PID") in raylets:
                    yield process


def end_leftovers(data_dir: str) -> None:
    """Kill what is left of a dead server of that data directory: its processes have CYBERIMAGE_DATA_DIR.

    Most go with their raylet. Ray's agents stay where nobody waits for the dead, as in some containers.
    """
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            if "RAY_RAYLET_PID" in environment and environment.get("CYBERIMAGE_DATA_DIR") == data_dir:
                process.kill()
                left.append(process)
    psutil.wait_procs(left, timeout=END_TIMEOUT_S)


def is_running(processes: Iterable[psutil.Process]) -> bool:
    """Whether any of them is."""
    return any(map(_is_alive, processes))


def _is_alive(process: psutil.Process) -> bool:
    """A zombie is not: waiting for it is its parent's business, and some containers' init never does."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _name(process: psutil.Process) -> str | None:
    with contextlib.suppress(psutil.Error):
        return process.name()
    return None
