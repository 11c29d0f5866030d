"""Whether a model fits into a machine's memory. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import assert_never

from configs.models import ModelSpec

#: Offloading whole components keeps one at a time on the GPU. The largest takes 59-79 % of the weights in
#: the families here (FLUX 71, SD 3.5 59, Wan 14B 71, Wan 1.3B 79, LTX 67, from the parameter counts), and
#: memory_gb counts working memory on top.
COMPONENT_SHARE = 0.8
#: Offloading single layers leaves working memory and a few layers on the GPU.
LAYER_SHARE = 0.15
#: The driver, the CUDA context and the allocator's slack, GiB.
GPU_RESERVE_GB = 1.0
#: The operating system, Ray and the server's own processes, GiB.
RAM_RESERVE_GB = 1.5


class Fit(Enum):
    """How a model can run here, best first."""

    FULL = "fits"
    OFFLOAD = "fits with offload"
    CPU = "fits, on the CPU"
    NOT = "does not fit"


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """A machine's memory, GiB: RAM, and that of each GPU."""

    ram_gb: float
    gpus_gb: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """A verdict, with the reason where it is not simply `fits`."""

    fit: Fit
    reason: str = ""

    @property
    def runs(self) -> bool:
        return self.fit is not Fit.NOT

    def __str__(self) -> str:
        return f"{self.fit.value}: {self.reason}" if self.reason else self.fit.value


def judge(spec: ModelSpec, memory: Memory) -> Fitting:
    """How `spec` can run, honouring its `memory` mode. The largest GPU counts: a model uses one."""
    if not memory.gpus_gb:
        return _on_cpu(spec, memory)
    gpu = max(memory.gpus_gb) - GPU_RESERVE_GB
    match spec.memory:
        case "full":
            return _whole(spec, gpu) or _too_small(spec, gpu, memory)
        case "offload":
            return _offloaded(spec, gpu, memory) or _too_small(spec, gpu, memory)
        case "auto":
            return _whole(spec, gpu) or _offloaded(spec, gpu, memory) or _too_small(spec, gpu, memory)
        case _:
            assert_never(spec.memory)


def _whole(spec: ModelSpec, gpu: float) -> Fitting | None:
    return Fitting(fit=Fit.FULL) if spec.memory_gb <= gpu else None


def _offloaded(spec: ModelSpec, gpu: float, memory: Memory) -> Fitting | None:
    """Component by component where that fits, else layer by layer; both keep all weights in RAM.

    Layers are pinned there at their exact sizes, or where RAM is short only when they are needed
    (deployments/placement.py): neither takes more than the weights, which memory_gb exceeds.
    """
    if spec.memory_gb > memory.ram_gb - RAM_RESERVE_GB or spec.memory_gb * LAYER_SHARE > gpu:
        return None
    if spec.memory_gb * COMPONENT_SHARE <= gpu:
        return Fitting(fit=Fit.OFFLOAD, reason="components wait in RAM, which is slower")
    return Fitting(fit=Fit.OFFLOAD, reason="layers come from RAM one by one, which is much slower")


def _too_small(spec: ModelSpec, gpu: float, memory: Memory) -> Fitting:
    reason = f"needs {spec.memory_gb:g} GB of GPU memory, {max(gpu, 0):.1f} GB can be used"
    if spec.memory != "full":
        reason += f", and {memory.ram_gb:.0f} GB of RAM do not hold the rest"
    return Fitting(fit=Fit.NOT, reason=reason)


def _on_cpu(spec: ModelSpec, memory: Memory) -> Fitting:
    usable = max(memory.ram_gb - RAM_RESERVE_GB, 0)
    if spec.memory_gb > usable:
        reason = f"no GPU, and it needs {spec.memory_gb:g} GB of RAM, {usable:.1f} GB can be used"
        return Fitting(fit=Fit.NOT, reason=reason)
    if spec.demo:
        return Fitting(fit=Fit.FULL)
    return Fitting(fit=Fit.CPU, reason="no GPU, so it is very slow")
