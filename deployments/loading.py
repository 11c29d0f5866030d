"""From files to a pipeline: precision per component, replaced transformers, scheduler settings."""

from __future__ import annotations

import inspect
import json
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
    components |= load_encoders(recipe, spec, files.folder, components)
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


def load_encoders(recipe: Recipe, spec: ModelSpec, folder: Path, others: Mapping[str, Any]) -> dict[str, Any]:
    """The folder's models of transformers, but for the `others`. Raises ValueError for missing weights.

    Through a pipeline's `from_pretrained` nobody would hear of these: transformers draws them at random.
    """
    kinds = {name: _encoder_class(*kind) for name, kind in component_kinds(folder).items()}
    return {
        name: _load_encoder(kind, folder / name, recipe.dtype_of(spec, name))
        for name, kind in kinds.items()
        if kind is not None and name not in others and (folder / name).is_dir()
    }


def component_kinds(folder: Path) -> dict[str, tuple[str, str]]:
    """Library and class of each component that a diffusers folder's index names; none without an index."""
    index = folder / "model_index.json"
    entries: dict[str, Any] = json.loads(index.read_text("utf-8")) if index.is_file() else {}
    pairs = {name: entry for name, entry in entries.items() if isinstance(entry, list)}
    return {name: (library, kind) for name, (library, kind) in pairs.items() if library is not None}


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
            _refuse_missing(component, [k for k, tensor in module.state_dict().items() if tensor.is_meta])


def quiet_libraries() -> None:
    """No progress bars on the replica's stderr: progress goes out as events."""
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


def _encoder_class(library: str, name: str) -> Any:
    """The class of that name if it is a model of transformers, else None."""
    kind = getattr(transformers, name, None) if library == "transformers" else None
    return kind if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel) else None


def _load_encoder(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Weights that are tied to others, and those that the class can do without, are not missing."""
    encoder, loading = kind.from_pretrained(
        folder, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
    )
    _refuse_missing(folder.name, sorted(loading["missing_keys"]))
    return encoder


def _refuse_missing(component: str, missing: list[str]) -> None:
    if missing:
        raise ValueError(f"{component} lacks {len(missing)} of its weights, {missing[0]} first")


def _dtypes(recipe: Recipe, spec: ModelSpec) -> dict[str, Any]:
    named = {*spec.dtype, *recipe.dtypes, "default"}
    return {name: recipe.dtype_of(spec, name) for name in named}
