"""Wan 2.1 and 2.2: text to video."""

from __future__ import annotations

from typing import Any

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


class WanT2V(Family):
    recipes = {"wan_t2v": WanRecipe()}
