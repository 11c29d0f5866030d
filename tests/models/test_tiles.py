"""Large sizes are decoded in tiles, others as a whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from configs.models import ModelSpec
from configs.registry import BUILTIN_FILE, read_models
from deployments import load_family
from deployments.recipe import Recipe
from tests import tiny_models
from tests.generation import artifacts_of, generation_request, model_spec, png

MODELS = {spec.name: spec for spec in read_models(BUILTIN_FILE)}
DEMOS = [spec for spec in MODELS.values() if spec.demo]
LARGE = [
    ("flux-1-dev", 2048, 2048, 1),
    ("sd-3.5-large", 1536, 1536, 1),
    ("wan2.1-t2v-14b", 1280, 720, 5),
    ("ltx-video-t2v", 1280, 704, 257),
    ("ltx-video-t2v", 704, 480, 257),
]


def recipe_of(spec: ModelSpec) -> Recipe:
    return load_family(spec.family).recipes[spec.family]


def in_tiles(spec: ModelSpec, width: int, height: int, frames: int, monkeypatch: Any) -> bool:
    """Whether a tiny decoder of the model's class decodes a clip or picture of that size in tiles."""
    vae = tiny_models.PIPELINES[spec.family]().vae
    decoded = SimpleNamespace(sample=torch.zeros(1))
    tiled: list[torch.Tensor] = []
    monkeypatch.setattr(vae.decoder, "forward", lambda latents, *args, **more: latents)
    monkeypatch.setattr(vae, "tiled_decode", lambda latents, *args, **more: tiled.append(latents) or decoded)
    arguments = {"width": width, "height": height, "num_frames": frames}
    recipe_of(spec).set_tiles(SimpleNamespace(vae=vae), arguments)
    scale = 32 if "ltx" in spec.family else 8
    channels, in_time = (128 if "ltx" in spec.family else 16), ([2] if spec.is_video else [])
    vae.decode(torch.zeros(1, channels, *in_time, height // scale, width // scale), return_dict=False)
    return bool(tiled)


@pytest.mark.parametrize(("name", "width", "height", "frames"), LARGE)
def test_a_large_size_is_decoded_in_tiles(name, width, height, frames, monkeypatch):
    assert in_tiles(MODELS[name], width, height, frames, monkeypatch)


@pytest.mark.parametrize(
    "spec", [spec for spec in MODELS.values() if not spec.demo], ids=lambda spec: spec.name
)
def test_a_models_default_size_is_decoded_as_a_whole(spec, monkeypatch):
    limits = spec.limits
    frames = limits.frames.default if limits.frames else 1
    assert not in_tiles(spec, limits.width.default, limits.height.default, frames, monkeypatch)


@pytest.mark.parametrize("spec", DEMOS, ids=lambda spec: spec.name)
def test_a_demo_model_never_works_in_tiles(spec):
    frames = spec.limits.frames.max if spec.limits.frames else 1
    recipe = recipe_of(spec)
    largest = {"width": spec.limits.width.max, "height": spec.limits.height.max, "num_frames": frames}
    assert recipe.pixels_to_decode(largest) <= recipe.decoded_whole


SMALL_TILES: dict[str, int] = {
    "tile_sample_min_size": 64,
    "tile_latent_min_size": 8,
    "tile_sample_min_height": 64,
    "tile_sample_min_width": 64,
    "tile_sample_stride_height": 32,
    "tile_sample_stride_width": 32,
}


@pytest.mark.parametrize("name", tiny_models.PIPELINES)
async def test_tiles_are_of_one_call_and_give_the_same_size(name, folders, make_family, monkeypatch):
    family = make_family(name)
    recipe = family.recipes[name]
    spec = model_spec(name, folders(name))
    source = {"source_image": png(96, 64)} if spec.type == "i2v" else {}
    request = generation_request(spec, width=96, height=64, **source)
    (whole,) = await artifacts_of(family, request)
    with monkeypatch.context() as patch:
        patch.setattr(type(recipe), "decoded_whole", 0)
        patch.setattr(type(recipe), "tiles", {k: v for k, v in SMALL_TILES.items() if k in recipe.tiles})
        (tiled,) = await artifacts_of(family, request)
    (again,) = await artifacts_of(family, request)
    assert (tiled.width, tiled.height) == (whole.width, whole.height) == (again.width, again.height)
    assert tiled.data != whole.data
    assert again.data == whole.data
