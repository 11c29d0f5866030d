"""From files to a pipeline: precision per component, replaced transformers, scheduler settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import diffusers
import torch
import transformers
from diffusers import GGUFQuantizationConfig

from configs.models import ModelSpec
from deployments.recipe import Recipe

#: Formats that hold numbers and no code.
SINGLE_FILES = (".safetensors", ".gguf")
FetchProgress = Callable[[str, float | None], None]


class ModelFiles(Protocol):
    """A model's files on this machine: a diffusers folder and, if it is replaced, the transformer."""

    @property
    def folder(self) -> Path: ...

    @property
    def transformer(self) -> Path | None: ...


class Fetch(Protocol):
    """Makes sure that a model's files are here. Raises ModelUnavailable; what `progress` raises passes."""

    def __call__(self, spec: ModelSpec, *, progress: FetchProgress) -> ModelFiles: ...


def load_pipeline(
    recipe: Recipe, spec: ModelSpec, files: ModelFiles, kept: Mapping[str, Any] | None = None
) -> Any:
    """The model's pipeline in the host's memory; the components `kept` of another one stay where they are.

    Raises ValueError for weights that are missing from a file and for unknown scheduler settings; whatever
    diffusers raises passes through. Pickled weights are refused.
    """
    quiet_libraries()
    components: dict[str, Any] = {**recipe.absent_components(files.folder), **(kept or {})}
    if files.transformer is not None and "transformer" not in components:
        components["transformer"] = load_transformer(recipe, spec, files.folder, files.transformer)
    # The concrete class: DiffusionPipeline drops the components of Wan that are passed to it.
    pipe = recipe.pipeline.from_pretrained(
        files.folder,
        dtype=_dtypes(recipe, spec),
        local_files_only=True,
        use_safetensors=True,
        **components,
    )
    refuse_missing_weights(pipe)
    pipe.set_progress_bar_config(disable=True)
    if spec.scheduler:
        pipe.scheduler = reconfigured(pipe.scheduler, spec.scheduler)
    return pipe


def load_transformer(recipe: Recipe, spec: ModelSpec, folder: Path, source: Path) -> Any:
    """The transformer at `source`: a GGUF or safetensors file, a transformer's folder or a pipeline's."""
    dtype = recipe.dtype_of(spec, "transformer")
    if source.is_file():
        if source.suffix not in SINGLE_FILES:
            # diffusers would read these too, and some of them are pickles.
            raise ValueError(f"{source.name}: only safetensors and GGUF files are loaded")
        single_file = {"config": str(folder), "subfolder": "transformer", "local_files_only": True}
        if source.suffix == ".gguf":
            single_file["quantization_config"] = GGUFQuantizationConfig(compute_dtype=dtype)
        return recipe.transformer.from_single_file(str(source), dtype=dtype, **single_file)
    subfolder = "transformer" if (source / "transformer").is_dir() else None
    return recipe.transformer.from_pretrained(
        source, subfolder=subfolder, dtype=dtype, local_files_only=True, use_safetensors=True
    )


def reconfigured(scheduler: Any, settings: dict[str, Any]) -> Any:
    """A scheduler of the same class with `settings` over its own. Raises ValueError for an unknown one."""
    kind = type(scheduler)
    if unknown := settings.keys() - inspect.signature(kind.__init__).parameters.keys():
        raise ValueError(f"{kind.__name__} has no setting {', '.join(sorted(unknown))}")
    return kind.from_config(scheduler.config, **settings)


def refuse_missing_weights(pipe: Any) -> None:
    """Raise ValueError if a file lacked some of its weights: diffusers only warns and leaves them empty."""
    for component, module in pipe.components.items():
        if isinstance(module, torch.nn.Module):
            missing = [name for name, tensor in module.state_dict().items() if tensor.is_meta]
            if missing:
                raise ValueError(f"{component} lacks {len(missing)} of its weights, {missing[0]} first")


def quiet_libraries() -> None:
    """No progress bars on the replica's stderr: progress goes out as events."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _dtypes(recipe: Recipe, spec: ModelSpec) -> dict[str, Any]:
    named = {*spec.dtype, *recipe.dtypes, "default"}
    return {name: recipe.dtype_of(spec, name) for name in named}
