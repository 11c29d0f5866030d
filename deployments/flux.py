"""FLUX.1 and its fine-tunes: text to image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import FluxPipeline, FluxTransformer2DModel

from deployments.contract import GenerationRequest
from deployments.engine import Family
from deployments.recipe import PictureRecipe, call_arguments, encode_prompt, sequence_length

EMBEDDINGS = ("prompt_embeds", "pooled_prompt_embeds")


class FluxRecipe(PictureRecipe):
    """Guidance is an input of the distilled model; a negative prompt works only with `true_cfg_scale` > 1."""

    pipeline = FluxPipeline
    transformer = FluxTransformer2DModel

    def encode(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        length = sequence_length(request, 512)
        positive = _embed(pipe, request, request.prompt, length)
        if float(request.model.pipeline_arguments.get("true_cfg_scale", 1.0)) <= 1:
            return positive
        negative = _embed(pipe, request, request.negative_prompt, length)
        return positive | {f"negative_{name}": value for name, value in negative.items()}

    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        return call_arguments(request, sequence_length(request, 512))

    def grid(self, pipe: Any, latents: torch.Tensor, arguments: Mapping[str, Any]) -> torch.Tensor:
        height, width = arguments["height"], arguments["width"]
        grid: torch.Tensor = pipe._unpack_latents(latents, height, width, pipe.vae_scale_factor)
        return grid


class Flux(Family):
    recipes = {"flux": FluxRecipe()}


def _embed(pipe: Any, request: GenerationRequest, text: str, length: int) -> dict[str, Any]:
    return encode_prompt(pipe, EMBEDDINGS, request, prompt=text, prompt_2=None, max_sequence_length=length)
