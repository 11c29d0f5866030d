"""Wan 2.1 and 2.2: text to video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import WanPipeline, WanTransformer3DModel

from deployments.contract import GenerationRequest
from deployments.engine import Family
from deployments.recipe import Recipe, call_arguments, encode_prompt, sequence_length

EMBEDDINGS = ("prompt_embeds", "negative_prompt_embeds")


class WanRecipe(Recipe):
    """The VAE runs in float32 beside a bfloat16 transformer, as diffusers recommends for Wan."""

    pipeline = WanPipeline
    transformer = WanTransformer3DModel
    dtypes = {"vae": "float32"}
    # Frames are decoded one after another. At 1280 x 720 a whole one takes some 17 GiB.
    decoded_whole = 832 * 480
    tiles = {
        "tile_sample_min_height": 512,
        "tile_sample_min_width": 512,
        "tile_sample_stride_height": 448,
        "tile_sample_stride_width": 448,
    }

    def encode(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        # encode_prompt alone would take 226 tokens, where the call takes 512.
        return encode_prompt(
            pipe,
            EMBEDDINGS,
            request,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            do_classifier_free_guidance=request.guidance_scale > 1,
            max_sequence_length=sequence_length(request, 512),
        )

    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        return call_arguments(request, sequence_length(request, 512)) | {"num_frames": request.num_frames}

    def clean(self, pipe: Any) -> None:
        """A decoding that ended early has left its features of the last frames, gigabytes of a large clip."""
        super().clean(pipe)
        pipe.vae.clear_cache()

    def grid(self, pipe: Any, latents: torch.Tensor, arguments: Mapping[str, Any]) -> torch.Tensor:
        return latents[:, :, latents.shape[2] // 2]

    def decode_grid(self, pipe: Any, grid: torch.Tensor) -> torch.Tensor:
        config = pipe.vae.config
        mean, std = (
            torch.tensor(values, device=grid.device).view(1, -1, 1, 1, 1)
            for values in (config.latents_mean, config.latents_std)
        )
        latents = (grid.unsqueeze(2) * std + mean).to(pipe.vae.dtype)
        clip: torch.Tensor = pipe.vae.decode(latents, return_dict=False)[0]
        return clip[:, :, 0]


class WanT2V(Family):
    recipes = {"wan_t2v": WanRecipe()}
