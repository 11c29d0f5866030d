"""Stable Diffusion 3.5: text to image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline

from deployments.contract import GenerationRequest
from deployments.engine import Family
from deployments.recipe import (
    PICTURE_TILES,
    PICTURE_WHOLE,
    Recipe,
    call_arguments,
    decode_picture,
    encode_prompt,
    sequence_length,
)

EMBEDDINGS = (
    "prompt_embeds",
    "negative_prompt_embeds",
    "pooled_prompt_embeds",
    "negative_pooled_prompt_embeds",
)


class SD35Recipe(Recipe):
    """Runs without its T5 encoder too, which is 9.5 GB of its weights."""

    pipeline = StableDiffusion3Pipeline
    transformer = SD3Transformer2DModel
    tiles = PICTURE_TILES
    decoded_whole = PICTURE_WHOLE
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

    def decode_grid(self, pipe: Any, grid: torch.Tensor) -> torch.Tensor:
        return decode_picture(pipe, grid)


class SD35(Family):
    recipes = {"sd35": SD35Recipe()}
