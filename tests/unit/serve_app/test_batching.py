"""Which jobs may run as one call, and how many."""

from __future__ import annotations

from typing import Any

import pytest

from configs.models import MaxBatch
from serve_app.batching import batch_key, max_batch
from tests.generation import model_spec

SETTINGS: dict[str, Any] = {
    "type": "image",
    "width": 512,
    "height": 512,
    "num_inference_steps": 20,
    "guidance_scale": 3.5,
    "seed": 1,
    "num_images": 1,
}


def test_jobs_may_differ_in_seed_and_number() -> None:
    assert batch_key("flux", SETTINGS) == batch_key("flux", SETTINGS | {"seed": 2, "num_images": 4})


def test_the_order_of_settings_does_not_matter() -> None:
    assert batch_key("flux", SETTINGS) == batch_key("flux", dict(reversed(SETTINGS.items())))


@pytest.mark.parametrize(
    "change",
    [
        {"width": 256},
        {"height": 256},
        {"num_inference_steps": 21},
        {"guidance_scale": 4.0},
        {"max_sequence_length": 128},
        {"num_frames": 9},
        {"fps": 8},
        {"source_image_id": "other"},
        {"a setting of tomorrow": 1},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_other_setting_parts_them(change: dict[str, Any]) -> None:
    assert batch_key("flux", SETTINGS) != batch_key("flux", SETTINGS | change)


def test_models_part_them() -> None:
    assert batch_key("flux", SETTINGS) != batch_key("flux-tuned", SETTINGS)


@pytest.mark.parametrize(
    ("side", "count"), [(64, 8), (256, 8), (512, 4), (768, 1), (1008, 1), (1024, 1), (2048, 1)]
)
def test_pictures_share_a_call_up_to_the_pixels_of_a_large_one(side: int, count: int) -> None:
    assert max_batch(model_spec("flux"), SETTINGS | {"width": side, "height": side}) == count


def test_clips_are_made_one_at_a_time_unless_the_model_says_otherwise() -> None:
    clip = SETTINGS | {"width": 64, "height": 64, "num_frames": 16}
    assert max_batch(model_spec("wan_t2v"), clip) == 1
    generous = model_spec("wan_t2v", max_batch=MaxBatch(count=8, pixels=64 * 64 * 16 * 3))
    assert max_batch(generous, clip) == 3
    assert max_batch(generous, clip | {"num_frames": 17}) == 2
