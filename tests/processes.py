"""Processes that a test started, with all that they started in turn."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Iterable

import psutil


def tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants, as they are now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def survivors(processes: Iterable[psutil.Process], *, within: float) -> list[psutil.Process]:
    """Those that still run after `within` seconds; as soon as there are none, an empty list."""
    deadline = time.monotonic() + within
    while (left := [p for p in processes if is_alive(p)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def with_variable(name: str, value: str) -> list[psutil.Process]:
    """Processes whose environment says `name=value`, whoever started them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(name) == value:
                found.append(process)
    return found


def replicas(pid: int, deployment: str) -> list[psutil.Process]:
    """Processes of a Ray Serve deployment below `pid`, told by the title that Ray gives them."""
    return titled(pid, f"ray::ServeReplica:cyberimage:{deployment}")


def titled(pid: int, title: str) -> list[psutil.Process]:
    """Processes below `pid` that call themselves so, or so and more."""
    found = []
    for process in tree(pid):
        with contextlib.suppress(psutil.Error):
            if " ".join(process.cmdline()).startswith(title):
                found.append(process)
    return found


def end(processes: Iterable[psutil.Process]) -> None:
    """Kill what is left of them. Raises AssertionError if something survives even that."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert not survivors(processes, within=30)


def kill_group(pid: int) -> None:
    """SIGKILL for every process of the group that `pid` leads."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
