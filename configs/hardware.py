"""The GPUs of this machine, asked of the driver's own tool: no CUDA library is loaded."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU; memory in bytes."""

    name: str
    memory: int
    free_memory: int


def visible_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that the driver reports; empty without a driver."""
    if (tool := shutil.which("nvidia-smi")) is None:
        return ()
    query = [tool, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        reply = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse_gpus(reply.stdout)


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Lines `name, total MiB, free MiB` as GPUs; lines of another form are passed over."""
    gpus = []
    for line in text.splitlines():
        match [part.strip() for part in line.rsplit(",", 2)]:
            case [name, total, free] if total.isdigit() and free.isdigit():
                gpus.append(Gpu(name=name, memory=int(total) << 20, free_memory=int(free) << 20))
    return tuple(gpus)
