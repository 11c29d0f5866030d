"""Stable Diffusion 3.5: text to image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

from deployments.contract import GenerationRequest
from deployments.engine import Family
from deployments.recipe import PictureRecipe, call_arguments, encode_prompt, sequence_length

EMBEDDINGS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)


class SD35Recipe(PictureRecipe):
    """Runs without its T5 encoder too, which is 9.5 GB of its weights."""

    pipeline = StableDiffusion3Pipeline
    transformer = SD3Transformer2DModel
    optional_components = ("text_encoder_3", "tokenizer_3")

    def encode(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        return encode_prompt(
            pipe,
            EMBEDDINGS,
            request,
            prompt=request.prompt,
            prompt_2=None,
            prompt_3=None,
            negative_prompt=request.negative_prompt,
            do_classifier_free_guidance=request.guidance_scale > 1,
            max_sequence_length=sequence_length(request, 256),
        )

    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        return call_arguments(request, sequence_length(request, 256))

    def grid(self, pipe: Any, latents: torch.Tensor, arguments: Mapping[str, Any]) -> torch.Tensor:
        return latents


class SD35(Family):
    recipes = {"sd35": SD35Recipe()}
