"""How much memory a model process holds: of its GPUs where it uses them, else of the machine."""

from __future__ import annotations

import sys
from typing import Any

import psutil

from deployments.contract import MemoryUse


def memory_use() -> MemoryUse:
    """Of this process. What torch keeps for reuse counts: nobody else can have it."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        devices = range(torch.cuda.device_count())
        return MemoryUse(
            gpu=True,
            used=sum(torch.cuda.memory_reserved(device) for device in devices),
            total=sum(torch.cuda.get_device_properties(device).total_memory for device in devices),
        )
    return MemoryUse(gpu=False, used=psutil.Process().memory_info().rss, total=psutil.virtual_memory().total)
