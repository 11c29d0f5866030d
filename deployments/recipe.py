"""How one diffusers pipeline class is loaded and called; a family has one for each of its model families."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch

from configs.models import DtypeName, ModelSpec
from deployments.contract import GenerationRequest
from deployments.placement import computes_bfloat16


class Recipe(ABC):
    """What the engine must know about a pipeline class. Has no state."""

    pipeline: ClassVar[Any]
    transformer: ClassVar[Any]
    dtypes: ClassVar[Mapping[str, DtypeName]] = {}
    """Components with a precision of their own, unless the model's spec names them."""
    without_bfloat16: ClassVar[Mapping[str, DtypeName]] = {}
    """On a GPU that has none: components that float16 is too narrow for, which the others have there."""
    optional_components: ClassVar[Sequence[str]] = ()
    """Components that the pipeline can do without when the model's folder lacks them."""
    listed: ClassVar[frozenset[str]] = frozenset()
    """Arguments, other than tensors, of which a call takes one for each of its samples."""
    tiles: ClassVar[Mapping[str, int]] = {}
    """The decoder's attributes that say how large tiles are; without them it never works in tiles."""
    decoded_whole: ClassVar[int] = 0
    """The most `pixels_to_decode` that it decodes without tiles, all default sizes among them."""

    def dtype_of(self, spec: ModelSpec, component: str) -> torch.dtype:
        name = spec.dtype.get(component) or self.dtypes.get(component) or spec.dtype_of(component)
        if name == "bfloat16" and not computes_bfloat16():
            name = self.without_bfloat16.get(component, "float16")
        dtype: torch.dtype = getattr(torch, name)
        return dtype

    def absent_components(self, folder: Path) -> dict[str, None]:
        """The optional components that are not in `folder`, as arguments for `from_pretrained`."""
        return {name: None for name in self.optional_components if not (folder / name).is_dir()}

    def generator_device(self, pipe: Any) -> str:
        """Where the noise is drawn: on the CPU, so that a seed means the same on every machine."""
        return "cpu"

    @abstractmethod
    def encode(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        """The prompt's embeddings, as keyword arguments of the pipeline's call, in a batch of one."""

    @abstractmethod
    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        """The other keyword arguments, which are the same for every output of the job."""

    @abstractmethod
    def grid(self, pipe: Any, latents: torch.Tensor, arguments: Mapping[str, Any]) -> torch.Tensor:
        """A call's latents, as its steps leave them, as (N, C, h, w): of clips, one latent frame."""

    @abstractmethod
    def decode_grid(self, pipe: Any, grid: torch.Tensor) -> torch.Tensor:
        """The pictures (N, 3, H, W), -1 to 1, of finished latents (N, C, h, w), scaled as in `grid`."""

    def pixels_to_decode(self, arguments: Mapping[str, Any]) -> int:
        """What the decoder's memory grows with: pixels, and frames where it takes them all at once."""
        return int(arguments["width"] * arguments["height"])

    def set_tiles(self, pipe: Any, arguments: Mapping[str, Any]) -> None:
        """Have the decoder work in tiles where the whole would need more memory than memory_gb counts on.

        The size alone decides, not the memory, so that a seed means the same on every machine.
        """
        if not self.tiles:
            return
        if self.pixels_to_decode(arguments) <= self.decoded_whole:
            pipe.vae.disable_tiling()
            return
        pipe.vae.enable_tiling()
        for name, value in self.tiles.items():
            setattr(pipe.vae, name, value)

    def clean(self, pipe: Any) -> None:
        """Remove what a call that ended early has left: offload hooks, cached steps of the transformer."""
        pipe.maybe_free_model_hooks()

    def batch_size(self, pipe: Any, request: GenerationRequest) -> int:
        """The most outputs of the request's size that one call may make."""
        return request.model.batch_size(request.width, request.height, request.num_frames)

    def fits(self, first: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether one call can take both samples' arguments."""
        if first is other:
            return True
        return first.keys() == other.keys() and all(
            self._joins(name, value, other[name]) for name, value in first.items()
        )

    def together(self, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The arguments of one call for samples that fit."""
        first = dict(samples[0])
        if len(samples) == 1:
            return first
        for name, value in first.items():
            if isinstance(value, torch.Tensor):
                first[name] = torch.cat([sample[name] for sample in samples])
            elif name in self.listed:
                first[name] = [sample[name] for sample in samples]
        return first

    def _joins(self, name: str, value: Any, other: Any) -> bool:
        if isinstance(value, torch.Tensor):
            return bool(value.shape[1:] == other.shape[1:])
        return name in self.listed or bool(value == other)


class PictureRecipe(Recipe):
    """What FLUX and Stable Diffusion 3 have in common: the decoder."""

    tiles = {"tile_sample_min_size": 1024, "tile_latent_min_size": 128}
    # As a whole that takes some 3.2 GiB, for which memory_gb has room; at four million pixels 6.4:
    # three tensors of 256 channels, at the decoder's last norm.
    decoded_whole = 2 * 1024 * 1024

    def decode_grid(self, pipe: Any, grid: torch.Tensor) -> torch.Tensor:
        config = pipe.vae.config
        latents = grid / config.scaling_factor + config.shift_factor
        pictures: torch.Tensor = pipe.vae.decode(latents.to(pipe.vae.dtype), return_dict=False)[0]
        return pictures


def encode_prompt(
    pipe: Any, names: Sequence[str], request: GenerationRequest, **arguments: Any
) -> dict[str, Any]:
    """`pipe.encode_prompt` with its results under `names`, leaving out those that are None.

    The model's further pipeline arguments that concern the encoder (`clip_skip`) are passed on. Without
    no_grad the results carry the autograd graph and differ in the last bits from what the call computes.
    """
    accepted = inspect.signature(pipe.encode_prompt).parameters
    extra = {k: v for k, v in request.model.pipeline_arguments.items() if k in accepted}
    with torch.no_grad():
        results = pipe.encode_prompt(**{**extra, **arguments})
    return {name: value for name, value in zip(names, results, strict=False) if value is not None}


def call_arguments(request: GenerationRequest, sequence_length: int) -> dict[str, Any]:
    """What every pipeline takes: the request's values, before which the model's further arguments yield."""
    return {
        **request.model.pipeline_arguments,
        "width": request.width,
        "height": request.height,
        "num_inference_steps": request.num_inference_steps,
        "guidance_scale": request.guidance_scale,
        "max_sequence_length": sequence_length,
    }


def sequence_length(request: GenerationRequest, default: int) -> int:
    """Tokens of prompt: the request's, else the model's, else the pipeline's own `default`."""
    if request.max_sequence_length is not None:
        return request.max_sequence_length
    return int(request.model.pipeline_arguments.get("max_sequence_length", default))
