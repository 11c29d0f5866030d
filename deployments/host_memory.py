"""What loading a model takes of main memory, foretold from its files.

Weights of the precision that is wanted stay in their files, of which the kernel keeps what there is room for.
Others are converted into memory of this process, and those of GGUF files are copied there.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import safe_open

from configs.hardware import free_ram, free_swap
from configs.models import ModelSpec
from deployments.components import sources
from deployments.errors import BrokenWeights, OutOfMemory
from deployments.loading import SINGLE_FILES, ModelFiles, component_kinds
from deployments.placement import GIB
from deployments.recipe import Recipe
from deployments.weights.cache import Folder
from deployments.weights.parts import Part
from deployments.weights.selection import needed_names

#: What a safetensors file calls the precisions that a model can run in.
NAMES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
FLOATING = frozenset({*NAMES.values(), "F64", "F8_E4M3", "F8_E5M2"})


def loading_takes(recipe: Recipe, spec: ModelSpec, files: ModelFiles, kept: Collection[str] = ()) -> int:
    """Bytes of main memory, for all components but those that are `kept`."""
    return sum(
        _taken(file, recipe.dtype_of(spec, name))
        for name in component_kinds(files.folder)
        if name not in kept
        for source in sources(name, files)
        for file in _weights(source)
    )


def refuse_short_memory(spec: ModelSpec, needed: int) -> None:
    """Raise OutOfMemory where the kernel would end a process for want of that memory, perhaps another one."""
    room = free_ram() + free_swap()
    if needed > room:
        raise OutOfMemory(
            f"{spec.name} takes {needed / GIB:.1f} GiB of main memory while it is loaded; "
            f"{room / GIB:.1f} GiB are free.",
            hint="Its files have another precision than it runs in and are converted in main memory. "
            "Free some, raise the container's limit, or use files in the precision of its `dtype`.",
        )


def _weights(source: Path) -> Iterator[Path]:
    """The files of weights that are loaded from a component's folder, or from the file that replaces it."""
    if source.is_file() and source.suffix in SINGLE_FILES:
        yield source
    elif (source / "config.json").is_file():
        folder = Folder(root=source)
        with suppress(BrokenWeights):  # Loading says what is missing.
            for name in needed_names(Part(place=source, shape="model"), folder.names(), folder.read_json):
                if name.endswith(".safetensors"):
                    yield source / name


def _taken(file: Path, dtype: torch.dtype) -> int:
    if file.suffix == ".gguf":
        return file.stat().st_size
    converted = FLOATING - {NAMES[dtype]}
    with safe_open(file, framework="pt") as weights:
        tensors = map(weights.get_slice, weights.keys())
        numbers = sum(math.prod(each.get_shape()) for each in tensors if each.get_dtype() in converted)
    return int(numbers * dtype.itemsize)
