"""Previews: like what comes of the run, and without a trace in it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image

from configs.models import FamilyName, MaxBatch
from deployments import load_family
from deployments.contract import Artifact, Event, GenerationRequest, Loading, Preview, Progress, Saving
from deployments.engine import Family
from deployments.placement import apply_placement
from deployments.previews import CELLS, LONGEST, coarse, foreseen
from tests.generation import (
    artifacts_of,
    events_of,
    fetch_local,
    generation_request,
    made,
    model_spec,
    together,
)

FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
STEPS = 4

MakeFamily = Callable[[FamilyName], Family]


@pytest.fixture(params=FAMILIES)
def name(request: pytest.FixtureRequest) -> FamilyName:
    return request.param


@pytest.fixture
def job(name, folders) -> GenerationRequest:
    return long_job(name, folders)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step is slow enough for a preview."""
    monkeypatch.setattr("deployments.preview_pace.INTERVAL_S", 0.0)
    monkeypatch.setattr("deployments.preview_pace.SHARE", 1e9)


@pytest.fixture
def previewing(eager) -> Iterator[MakeFamily]:
    families: list[Family] = []

    def make(name: FamilyName) -> Family:
        families.append(load_family(name)(fetch=fetch_local, previews=True))
        return families[-1]

    yield make
    for family in families:
        family.close()


def long_job(name: FamilyName, folders: Any, **changes: Any) -> GenerationRequest:
    values = {"num_inference_steps": STEPS, "width": 64, "height": 32} | changes
    return generation_request(model_spec(name, folders(name)), **values)


def previews(events: list[Event]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(event.data)) for event in events if isinstance(event, Preview)]


async def test_steps_that_are_neither_first_nor_last_are_shown_before_they_are_told(previewing, job):
    events = await events_of(previewing(job.model.family), job)
    assert [e.step if isinstance(e, Progress) else type(e) for e in events] == [
        *(Loading, 0, 1, Preview, 2, Preview, 3, 4, Saving, Artifact)
    ]


async def test_a_preview_has_the_pictures_shape(previewing, job):
    events = await events_of(previewing(job.model.family), job)
    (artifact,) = made(events)
    for image in previews(events):
        assert image.format == "WEBP"
        assert image.width / image.height == artifact.width / artifact.height
        assert max(image.size) <= LONGEST


async def test_what_is_made_is_the_same_to_the_byte_with_and_without(previewing, make_family, job):
    twice = [job.model.family] * 2
    shown, plain = previewing(twice[0]), make_family(twice[1])
    events = await events_of(shown, job)
    assert previews(events)
    assert made(events)[0].data == (await artifacts_of(plain, job))[0].data
    assert made(await events_of(shown, job))[0].data == made(events)[0].data


async def test_finished_latents_are_decoded_as_the_pipeline_decodes_them(make_family, name, folders):
    job = long_job(name, folders, **({} if "flux" in name or "sd35" in name else {"num_frames": 1}))
    family = make_family(name)
    await artifacts_of(family, job)
    pipe, recipe = family._loaded.pipe, family._loaded.recipe
    arguments = recipe.arguments(pipe, job)
    latents: list[torch.Tensor] = []
    (pictures,) = pipe(
        **arguments,
        **recipe.encode(pipe, job),
        output_type="pt",
        return_dict=False,
        generator=torch.Generator().manual_seed(7),
        callback_on_step_end=lambda pipe, step, time, tensors: latents.append(tensors["latents"]) or {},
        callback_on_step_end_tensor_inputs=["latents"],
    )
    with torch.no_grad():
        decoded = recipe.decode_grid(pipe, recipe.grid(pipe, latents[-1], arguments).float())
    expected = pictures[:, 0] if job.model.is_video else pictures
    assert torch.allclose((decoded / 2 + 0.5).clamp(0, 1), expected, atol=2e-3)


async def test_each_job_of_a_call_sees_its_own_and_one_for_all_its_outputs(previewing, folders):
    spec = model_spec("flux", folders("flux"), max_batch=MaxBatch(count=4))
    values = {"num_inference_steps": STEPS, "width": 64, "height": 32}
    jobs = [
        generation_request(spec, job_id=name, seed=seed, num_outputs=outputs, **values)
        for name, seed, outputs in (("a", 1, 2), ("b", 50, 1))
    ]
    family = previewing("flux")
    events = await together(family, *jobs)
    alone = await events_of(family, jobs[1])
    shown = {name: [np.asarray(each.convert("RGB")) for each in previews(events[name])] for name in "ab"}
    assert [len(images) for images in shown.values()] == [STEPS - 2, STEPS - 2]
    for mine, other, own in zip(shown["b"], shown["a"], previews(alone), strict=True):
        assert np.array_equal(mine, np.asarray(own.convert("RGB")))
        assert not np.array_equal(mine, other)


async def test_a_decoder_that_fails_ends_the_previews_of_the_run_and_nothing_else(
    previewing, make_family, folders, caplog
):
    job = long_job("flux", folders, num_outputs=2)
    family = previewing("flux")
    await artifacts_of(family, job)
    recipe = family._loaded.previews.recipe
    family._loaded.previews.recipe = Failing()
    with caplog.at_level(logging.WARNING):
        events = await events_of(family, job)
    assert not previews(events)
    assert [r.message for r in caplog.records] == ["no previews of this run: the decoder is out of order"]
    assert [each.data for each in made(events)] == [
        each.data for each in await artifacts_of(make_family("flux"), job)
    ]
    family._loaded.previews.recipe = recipe
    assert previews(await events_of(family, job))


class Failing:
    def grid(self, *given: Any) -> None:
        raise RuntimeError("the decoder is out of order")


async def test_a_model_whose_parts_wait_in_main_memory_has_none(previewing, folders, monkeypatch):
    def offload(pipe: Any, spec: Any) -> str:
        apply_placement(pipe, "offload", torch.device("cpu"))
        return "offload"

    monkeypatch.setattr("deployments.engine.place", offload)
    events = await events_of(previewing("flux"), long_job("flux", folders))
    assert made(events)
    assert not previews(events)


async def test_steps_that_take_no_time_are_not_shown(folders):
    family = load_family("flux")(fetch=fetch_local, previews=True)
    job = long_job("flux", folders)
    await artifacts_of(family, job)
    family._loaded.previews.pace.clock = lambda: 0.0
    assert not previews(await events_of(family, job))
    family.close()


def test_a_straight_flow_is_foreseen_from_any_two_of_its_points():
    data, noise = torch.randn(2, 4, 8, 8)
    at = {sigma: (1 - sigma) * data + sigma * noise for sigma in (0.9, 0.4)}
    assert torch.allclose(foreseen(at[0.4], at[0.9], 0.4, 0.9), data, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(128, 128), (60, 104), (8, 2000), (32, 32)])
def test_a_large_grid_is_averaged_in_its_shape(height, width):
    grid = coarse(torch.ones(1, 4, height, width))
    h, w = grid.shape[-2:]
    assert h * w <= CELLS
    assert w / h == pytest.approx(width / height, rel=0.1)
    assert torch.all(grid == 1)
