"""Image to video: Wan 2.1 and 2.2, and LTX-Video."""

from __future__ import annotations

import math
from typing import Any

from diffusers import LTXImageToVideoPipeline, WanImageToVideoPipeline

from deployments.contract import GenerationRequest
from deployments.engine import Family
from deployments.ltx_t2v import LTXRecipe
from deployments.source_image import fit_image, fit_size, read_image
from deployments.wan_t2v import WanRecipe

MAX_AREA = 480 * 832
"""What a 14B model makes on a 24 GB card; the source's own size ran out of memory there."""

LTX_MULTIPLE = 32
"""LTXImageToVideoPipeline refuses other sizes, whatever its VAE."""


class WanI2VRecipe(WanRecipe):
    """A call takes one picture, which all its samples share."""

    pipeline = WanImageToVideoPipeline
    dtypes = {"vae": "float32", "image_encoder": "float32"}
    optional_components = ("image_encoder", "image_processor")

    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        multiple = pipe.vae_scale_factor_spatial * pipe.transformer.config.patch_size[1]
        return super().arguments(pipe, request) | fitted_source(request, multiple)


class LTXI2VRecipe(LTXRecipe):
    """Draws the noise of a decoder that denoises with torch.randn: one generator, of its own device."""

    pipeline = LTXImageToVideoPipeline
    listed = frozenset({"image"})

    def generator_device(self, pipe: Any) -> str:
        denoises = pipe.vae.config.timestep_conditioning
        return str(pipe._execution_device) if denoises else super().generator_device(pipe)

    def batch_size(self, pipe: Any, request: GenerationRequest) -> int:
        return 1 if pipe.vae.config.timestep_conditioning else super().batch_size(pipe, request)

    def arguments(self, pipe: Any, request: GenerationRequest) -> dict[str, Any]:
        cell = pipe.vae_spatial_compression_ratio * pipe.transformer_spatial_patch_size
        return super().arguments(pipe, request) | fitted_source(request, math.lcm(LTX_MULTIPLE, cell))


class I2V(Family):
    recipes = {"wan_i2v": WanI2VRecipe(), "ltx_i2v": LTXI2VRecipe()}


def fitted_source(request: GenerationRequest, multiple: int) -> dict[str, Any]:
    """The arguments `image`, `width` and `height`: the source picture in its own shape, as a PIL image.

    A tensor would be rescaled a second time by Wan's image processor.
    """
    image = read_image(request.source_image)
    limits = request.model.limits
    width, height = fit_size(
        *image.size,
        max_area=min(request.width * request.height, MAX_AREA),
        multiple=multiple,
        max_side=max(limits.width.max, limits.height.max),
    )
    return {"image": fit_image(image, width, height), "width": width, "height": height}
