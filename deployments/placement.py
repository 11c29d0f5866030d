"""Where a pipeline's weights stay: all on the accelerator, or on the host and fetched when needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, assert_never

import psutil
import torch

from configs.hardware import are_hidden, free_ram, visible_gpus
from configs.models import MemoryMode, ModelSpec
from deployments.errors import GenerationFailed

Placement = Literal["full", "offload", "offload_layers"]
"""All weights resident; one component at a time; one layer at a time."""

GIB = 2**30
#: Torch rounds each pinned block up to a power of two, above this size no more. All rounded, the layers of
#: FLUX take 46.9 GiB instead of 31.0, those of Wan 14B 54.7 instead of 37.2 (from the shapes of the weights).
PIN_EXACTLY = "pinned_max_round_threshold_mb:1"


def choose_placement(
    mode: MemoryMode, sizes: Mapping[str, int], *, working: int, free: int | None, held: bool = True
) -> Placement:
    """The fastest placement that fits. All sizes in bytes.

    `sizes` are the components' weights, `working` what a run needs beside them, `free` the accelerator's
    memory: None when the device cannot tell. `held`: main memory can hold all weights. Components come back
    from the accelerator into it; layers do not, their files hold them.
    """
    if mode == "full" or not sizes:
        return "full"
    if free is None:
        return "offload" if mode == "offload" else "full"
    if mode == "auto" and sum(sizes.values()) + working <= free:
        return "full"
    return "offload" if held and max(sizes.values()) + working <= free else "offload_layers"


def working_memory(spec: ModelSpec, sizes: Mapping[str, int]) -> int:
    """Bytes that a run needs beside the weights, at least a tenth of the largest component's."""
    weights = sum(sizes.values())
    return max(int(spec.memory_gb * GIB) - weights, max(sizes.values(), default=0) // 10)


def component_sizes(pipe: Any) -> dict[str, int]:
    """Bytes of each component's weights, in the precision they are loaded in."""
    modules = {k: v for k, v in pipe.components.items() if isinstance(v, torch.nn.Module)}
    return {name: _size(module) for name, module in modules.items()}


def accelerator() -> torch.device:
    """The device that computes: the accelerator, else the CPU."""
    if not torch.accelerator.is_available() or too_old_gpu() is not None:
        return torch.device("cpu")
    return torch.accelerator.current_accelerator() or torch.device("cpu")


def computes_bfloat16() -> bool:
    """Whether the device that computes has bfloat16.

    NVIDIA's have it from compute capability 8 on. Older ones emulate it, more slowly than float32.
    """
    return accelerator().type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def too_old_gpu() -> str | None:
    """Why torch has no kernels for the GPU, if it is older than all that torch is built for."""
    if torch.version.cuda is None or not torch.cuda.is_available():
        return None
    built_for = [int(number) for number in re.findall(r"_(\d+)", " ".join(torch.cuda.get_arch_list()))]
    major, minor = torch.cuda.get_device_capability()
    oldest = min(built_for, default=0)
    if major * 10 + minor >= oldest:
        return None
    built = f"torch {torch.__version__} is built for GPUs of compute capability {oldest / 10:.1f} and more"
    return f"{built}, {torch.cuda.get_device_name()} has {major}.{minor}"


def unusable_gpu() -> str | None:
    """Why torch computes on the CPU although the driver has GPUs; None without any, or if they are hidden."""
    if are_hidden():
        return None
    if torch.accelerator.is_available():
        return too_old_gpu()
    if not visible_gpus():
        return None
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except Exception as error:  # Names the driver's version where that is too old.
        return f"torch {torch.__version__} is built for CUDA {torch.version.cuda}: {error}"
    return f"torch {torch.__version__}, built for CUDA {torch.version.cuda}, sees no GPU"


def refuse_unusable_gpu(spec: ModelSpec) -> None:
    """Raise GenerationFailed if the model would run on the CPU for no good reason: FLUX takes minutes a step.

    The demo models are made for the CPU too.
    """
    if not spec.demo and (problem := unusable_gpu()) is not None:
        hint = "Update its driver, or install a torch that suits it: https://pytorch.org/get-started/locally/"
        raise GenerationFailed(f"This machine's GPU cannot be used. {problem}", hint=hint)


def free_memory(device: torch.device) -> int | None:
    """Free bytes on the accelerator, counting other processes; None when the device cannot tell."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def place(pipe: Any, spec: ModelSpec) -> Placement:
    """Put the pipeline where the model's `memory` setting and this machine's free memory say."""
    device = accelerator()
    if device.type == "cpu":
        return "full"
    sizes = component_sizes(pipe)
    working = working_memory(spec, sizes)
    free = free_memory(device)
    if free is not None:
        free += bytes_on(pipe, device)
    placement = choose_placement(spec.memory, sizes, working=working, free=free, held=can_hold(sizes))
    apply_placement(pipe, placement, device)
    return placement


def apply_placement(pipe: Any, placement: Placement, device: torch.device) -> None:
    match placement:
        case "full":
            pipe.to(device)
        case "offload":
            pipe.enable_model_cpu_offload(device=device)
        case "offload_layers":
            streams = device.type == "cuda"
            if streams:
                pin_exactly()
            pipe.enable_group_offload(
                onload_device=device,
                offload_device=torch.device("cpu"),
                offload_type="leaf_level",
                use_stream=streams,
                low_cpu_mem_usage=streams and not can_hold(component_sizes(pipe)),
            )
        case _:
            assert_never(placement)


def pin_exactly() -> None:
    """Have torch pin what is asked for, beside what PYTORCH_ALLOC_CONF says: new settings replace all."""
    settings = torch._C._accelerator_getAllocatorSettings().strip(" ,")
    if "pinned_max_round_threshold_mb" not in settings:
        torch._C._accelerator_setAllocatorSettings(f"{settings},{PIN_EXACTLY}" if settings else PIN_EXACTLY)


def can_hold(sizes: Mapping[str, int]) -> bool:
    """Whether main memory can hold all weights, beside a GiB for the rest: pinned, or when they come back.

    Else they stay in their files, and each layer is pinned when it is needed.

    A layer as it was loaded goes when its copy is there, so what this process holds counts as room.
    """
    memory = psutil.Process().memory_info()
    return sum(sizes.values()) + GIB <= free_ram() + memory.rss - memory.shared


def lift(pipe: Any, placement: Placement) -> bool:
    """Undo the placement, so that another pipeline can take components over and place them anew.

    False where that is not possible: the hooks of single layers stay, with copies of the weights.
    """
    if placement == "offload":
        pipe.remove_all_hooks()
    return placement != "offload_layers"


def bytes_on(pipe: Any, device: torch.device) -> int:
    """Bytes of the pipeline's weights that are on devices of that type already."""
    modules = (each for each in pipe.components.values() if isinstance(each, torch.nn.Module))
    tensors = (tensor for module in modules for tensor in _tensors(module))
    return sum(tensor.nbytes for tensor in tensors if tensor.device.type == device.type)


def _size(module: torch.nn.Module) -> int:
    return sum(tensor.nbytes for tensor in _tensors(module))


def _tensors(module: torch.nn.Module) -> tuple[torch.Tensor, ...]:
    return (*module.parameters(), *module.buffers())
