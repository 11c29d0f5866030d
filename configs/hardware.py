"""The GPUs of this machine, asked of the driver's own tool, without any CUDA library; and its main memory."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
DEVICES = "CUDA_VISIBLE_DEVICES"
#: Set for the server's processes where `DEVICES` hid all GPUs: Ray gives nobody a logical GPU beside that.
CPU_ONLY = "CYBERIMAGE_CPU_ONLY"
#: What nvidia-smi prints for the memory of a GPU that has none of its own.
UNTOLD = frozenset({"[N/A]", "[Not Supported]"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU; memory in bytes: the machine's main memory where the GPU shares it."""

    name: str
    memory: int
    free_memory: int


def visible_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that the driver reports, and CUDA_VISIBLE_DEVICES does not hide."""
    if are_hidden():
        return ()
    if (tool := shutil.which("nvidia-smi")) is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        reply = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return _chosen(parse_gpus(reply.stdout))


def are_hidden() -> bool:
    """Whether this machine is to compute on the CPU, whatever GPUs it has."""
    return os.environ.get(DEVICES) in ("", "-1") or CPU_ONLY in os.environ


def _chosen(gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Those that CUDA_VISIBLE_DEVICES lists by number; CUDA ends its list at one that there is not."""
    numbers = [part.strip() for part in os.environ.get(DEVICES, "").split(",")]
    if not all(number.isdigit() for number in numbers):
        return gpus  # Unset, or by other names.
    known = takewhile(lambda number: number < len(gpus), map(int, numbers))
    return tuple(gpus[number] for number in known)


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Lines `name, total MiB, free MiB` as GPUs; lines of another form are passed over.

    For a GPU with unified memory, such as a GB10, the driver reports none.
    """
    gpus = []
    for line in text.splitlines():
        match [part.strip() for part in line.rsplit(",", 2)]:
            case [name, total, free] if total.isdigit() and free.isdigit():
                gpus.append(Gpu(name=name, memory=int(total) << 20, free_memory=int(free) << 20))
            case [name, total, free] if {total, free} <= UNTOLD and name[:1] not in ("", "["):
                gpus.append(Gpu(name=name, memory=total_ram(), free_memory=free_ram()))
    return tuple(gpus)


def total_ram() -> int:
    """Bytes of main memory; in a container its limit, where that is less."""
    total = psutil.virtual_memory().total
    limit = _number("memory.max")
    return total if limit is None else min(total, limit)


def free_ram() -> int:
    """Bytes of main memory that can still be had; in a container within its limit. Cached files can go."""
    free = psutil.virtual_memory().available
    limit = _number("memory.max")
    if limit is None:
        return free
    try:
        used = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return free
    return min(free, limit - int(used["anon"]) - int(used["shmem"]))


def free_swap() -> int:
    """Bytes of swap space that can still be had; in a container within its limit."""
    free = psutil.swap_memory().free
    limit = _number("memory.swap.max")
    return free if limit is None else min(free, max(0, limit - (_number("memory.swap.current") or 0)))


def _number(name: str) -> int | None:
    """Of the container, in bytes; None where there is none."""
    try:
        return int((CGROUP / name).read_text())
    except (OSError, ValueError):
        return None
