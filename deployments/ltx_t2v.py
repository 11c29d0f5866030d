"""LTX-Video: text to video."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import LTXPipeline, LTXVideoTransformer3DModel

from deployments.contract import GenerationRequest
from deployments.engine import Family
from deployments.recipe import Recipe, call_arguments, encode_prompt, sequence_length

EMBEDDINGS = (
    "prompt_embeds",
    "prompt_attention_mask",
    "negative_prompt_embeds",
    "negative_prompt_attention_mask",
)

DECODER_NOISE = {"decode_timestep": 0.05, "decode_noise_scale": 0.025}
"""For decoders that denoise too (LTX-Video 0.9.1 and later); the values of diffusers' documentation."""


class LTXRecipe(Recipe):
    """The frame rate is a condition of the model, not only of the file."""

    pipeline = LTXPipeline
    transformer = LTXVideoTransformer3DModel
    without_bfloat16 = {"transformer": "float32", "vae": "float32"}
    # 257 frames of 1280 x 720 take some 21 GiB as a whole, of 384 x 384 some 3.4. No tiles in time
    # (use_framewise_decoding): those of diffusers 0.42 show every frame after the first tile one too late.
    decoded_whole = 704 * 480 * 161
    tiles = {
        "tile_sample_min_height": 384,
        "tile_sample_min_width": 384,
        "tile_sample_stride_height": 320,
        "tile_sample_stride_width": 320,
    }

    def encode(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        encoded = encode_prompt(
            pipe,
            EMBEDDINGS,
            request,
            prompt=request.prompt,
            negative_prompt=request.negative_prompt,
            do_classifier_free_guidance=request.guidance_scale > 1,
            max_sequence_length=sequence_length(request, 128),
        )
        # The pipeline gives the transformer all that it computes in the precision of the embeddings.
        dtype = self.dtype_of(request.model, "transformer")
        return {name: each.to(dtype) if each.is_floating_point() else each for name, each in encoded.items()}

    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        decoder = DECODER_NOISE if pipe.vae.config.timestep_conditioning else {}
        call = call_arguments(request, sequence_length(request, 128))
        return {**decoder, **call, "num_frames": request.num_frames, "frame_rate": request.fps}

    def pixels_to_decode(self, arguments: Mapping[str, Any]) -> int:
        return super().pixels_to_decode(arguments) * int(arguments["num_frames"])

    def grid(self, pipe: Any, latents: torch.Tensor, arguments: Mapping[str, Any]) -> torch.Tensor:
        clips: torch.Tensor = pipe._unpack_latents(
            latents,
            (arguments["num_frames"] - 1) // pipe.vae_temporal_compression_ratio + 1,
            arguments["height"] // pipe.vae_spatial_compression_ratio,
            arguments["width"] // pipe.vae_spatial_compression_ratio,
            pipe.transformer_spatial_patch_size,
            pipe.transformer_temporal_patch_size,
        )
        return clips[:, :, clips.shape[2] // 2]

    def decode_grid(self, pipe: Any, grid: torch.Tensor) -> torch.Tensor:
        vae = pipe.vae
        latents = pipe._denormalize_latents(
            grid.unsqueeze(2), vae.latents_mean, vae.latents_std, vae.config.scaling_factor
        ).to(vae.dtype)
        timestep = None
        if vae.config.timestep_conditioning:
            timestep = latents.new_full((len(latents),), DECODER_NOISE["decode_timestep"])
        clip: torch.Tensor = vae.decode(latents, timestep, return_dict=False)[0]
        return clip[:, :, 0]


class LTXT2V(Family):
    recipes = {"ltx_t2v": LTXRecipe()}
