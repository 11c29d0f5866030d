"""What every family promises, on tiny pipelines of the real classes."""

from __future__ import annotations

import io
import json
from typing import get_args

import av
import numpy as np
import pytest
from PIL import Image

from configs.models import FamilyName, MaxBatch
from deployments.contract import Artifact, GenerationRequest, Loading, Progress, Saving
from tests.generation import artifacts_of, events_of, generation_request, model_spec, stop_after

FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> FamilyName:
    return request.param


@pytest.fixture
def family(name, warm_families):
    return warm_families(name)


@pytest.fixture
def job(name, folders) -> GenerationRequest:
    return generation_request(model_spec(name, folders(name)))


def changed(job: GenerationRequest, **changes) -> GenerationRequest:
    """The same job with other values."""
    fields = {field: getattr(job, field) for field in GenerationRequest.__dataclass_fields__}
    return GenerationRequest(**(fields | changes))


def pixels(artifact: Artifact) -> np.ndarray:
    if artifact.media_type == "image":
        return np.asarray(Image.open(io.BytesIO(artifact.data)))
    with av.open(io.BytesIO(artifact.data)) as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)])


async def test_events_come_in_order_with_every_step(name, make_family, job):
    events = await events_of(make_family(name), changed(job, num_outputs=2))
    shown = [e.step if isinstance(e, Progress) else type(e) for e in events]
    one_by_one = [Loading, 0, 1, 2, Saving, Artifact, 3, 4, Saving, Artifact]
    at_once = [Loading, 0, 2, 4, Saving, Saving, Artifact, Artifact]
    assert shown == (one_by_one if job.model.is_video else at_once)
    assert {e.total_steps for e in events if isinstance(e, Progress)} == {4}


async def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(family, job):
    (first,), (again,) = await artifacts_of(family, job), await artifacts_of(family, job)
    (other,) = await artifacts_of(family, changed(job, seed=8))
    assert first.data == again.data
    assert not np.array_equal(pixels(first), pixels(other))


async def test_each_output_equals_a_job_of_its_own_seed(family, job):
    """Made one by one; tests/models/test_batched_pipelines.py has those that are made at once."""
    job = changed(job, model=job.model.model_copy(update={"max_batch": MaxBatch(count=1)}))
    outputs = await artifacts_of(family, changed(job, num_outputs=3))
    assert [output.seed for output in outputs] == [7, 8, 9]
    (alone,) = await artifacts_of(family, changed(job, seed=9))
    assert np.array_equal(pixels(outputs[2]), pixels(alone))


async def test_the_file_has_the_size_length_and_rate_that_were_asked(family, job):
    (artifact,) = await artifacts_of(family, changed(job, width=32, height=64))
    if artifact.media_type == "image":
        assert pixels(artifact).shape == (64, 32, 3)
        return
    assert pixels(artifact).shape == (9, artifact.height, artifact.width, 3)
    with av.open(io.BytesIO(artifact.data)) as clip:
        assert clip.streams.video[0].average_rate == 8


async def test_a_job_stopped_between_steps_leaves_no_trace(family, job):
    (fresh,) = await artifacts_of(family, job)
    seen = await stop_after(family, changed(job, num_inference_steps=50), Progress)
    assert [e.step for e in seen if isinstance(e, Progress)] == [0]
    (after,) = await artifacts_of(family, job)
    assert after.data == fresh.data


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": "a green square"},
        {"num_inference_steps": 3},
        {"guidance_scale": 9.0},
        {"negative_prompt": "dark"},
        {"max_sequence_length": 4},
    ],
    ids=lambda changes: next(iter(changes)),
)
async def test_every_setting_changes_the_picture(name, family, job, changes):
    if name == "flux" and "negative_prompt" in changes:
        job = changed(job, model=job.model.model_copy(update={"pipeline_arguments": {"true_cfg_scale": 2.0}}))
    (before,), (after,) = await artifacts_of(family, job), await artifacts_of(family, changed(job, **changes))
    assert not np.array_equal(pixels(before), pixels(after))


async def test_metadata_says_how_the_file_was_made(name, family, job):
    _, artifact = await artifacts_of(family, changed(job, num_outputs=2, settings={"seed": 7}))
    told = {
        name: artifact.metadata[name]
        for name in ("generation_time", "batch_size")
        if name in artifact.metadata
    }
    expected = {
        "model_id": job.model.name,
        "prompt": "a red circle",
        "negative_prompt": "blurry",
        "settings": {"seed": 7},
        "seed": 8,
        "image_number": 2,
        "total_images": 2,
        "width": 32,
        "height": 32,
    }
    if job.model.is_video:
        expected |= {"type": "video", "fps": 8, "frame_count": 9, "duration_seconds": 1.125}
    if name.endswith("i2v"):
        expected |= {"source_image_id": "picture"}
    assert artifact.metadata.items() >= expected.items()
    assert told["generation_time"] > 0
    assert inside(artifact) | told == artifact.metadata


def inside(artifact: Artifact) -> dict[str, object]:
    """The metadata that the file carries."""
    if artifact.media_type == "image":
        return json.loads(Image.open(io.BytesIO(artifact.data)).info["cyberimage"])
    with av.open(io.BytesIO(artifact.data)) as clip:
        return json.loads(clip.metadata["comment"])
