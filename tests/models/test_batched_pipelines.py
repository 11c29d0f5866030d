"""Jobs that run as one call: each output as it is alone, on tiny pipelines of the real classes.

Matrix kernels choose the order of their sums by the size of the batch, so outputs are equal but for rounding.
Measured on a CPU as the largest difference, where 1 is full brightness: 0.000005 in float32, less than a
hundredth of a byte's step; 0 to 0.065 in bfloat16, whose 8 bits make steps of 0.004 (untrained weights, which
amplify rounding more than trained ones do).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import LTXImageToVideoPipeline

from configs.models import FamilyName, MaxBatch
from deployments import engine
from deployments.batches import Sample
from deployments.contract import Artifact, Failed, GenerationRequest
from deployments.engine import Family
from deployments.frames import to_rgb
from tests import tiny_models
from tests.generation import artifacts_of, generation_request, made, model_spec, png, together

FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
TOLERANCE = 2e-5
COARSE = 0.1
PROMPTS = ("a red circle", "two green squares on a blue background", "")


class Outputs:
    """What the pipelines' calls return, by job and output, and how many samples each call had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: dict[tuple[str, int], torch.Tensor] = {}
        self.sizes: list[int] = []
        finish = engine.finish

        def recorded(sample: Sample, pictures: torch.Tensor, making: engine.Making) -> Artifact:
            self.made[sample.job_id, sample.output] = pictures.float()
            self.sizes.append(making.batch_size)
            return finish(sample, pictures, making)

        monkeypatch.setattr(engine, "finish", recorded)

    def of(self, job_id: str) -> list[torch.Tensor]:
        return [tensor for (job, _), tensor in sorted(self.made.items()) if job == job_id]


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Outputs:
    return Outputs(monkeypatch)


def jobs_of(family: FamilyName, folder: Any, **changes: Any) -> tuple[GenerationRequest, ...]:
    """Three jobs of other prompts and seeds that one call may make, the second with two outputs."""
    spec = model_spec(family, folder, max_batch=MaxBatch(count=4, pixels=2**24), **changes.pop("spec", {}))
    if family == "flux":
        spec = spec.model_copy(update={"pipeline_arguments": {"true_cfg_scale": 2.0}})
    return tuple(
        generation_request(
            spec,
            job_id=f"job-{number}",
            prompt=prompt,
            negative_prompt="blurry" * number,
            seed=number * 100,
            num_outputs=1 + (number == 1),
            **changes,
        )
        for number, prompt in enumerate(PROMPTS)
    )


async def differences(family: Family, jobs: tuple[GenerationRequest, ...], outputs: Outputs) -> list[float]:
    """For each output: how far what the shared call made is from what a call of its own makes."""
    for events in (await together(family, *jobs)).values():
        made(events)
    assert outputs.sizes == [4, 4, 4, 4]
    shared = {job.job_id: outputs.of(job.job_id) for job in jobs}
    alone = {}
    for job in jobs:
        for output in range(job.num_outputs):
            single = replace(job, job_id="alone", seed=job.seed + output, num_outputs=1)
            await artifacts_of(family, single)
            alone[job.job_id, output] = outputs.of("alone")[0]
    assert outputs.sizes[4:] == [1, 1, 1, 1]
    return [
        float((shared[job_id][output] - tensor).abs().max()) for (job_id, output), tensor in alone.items()
    ]


@pytest.mark.parametrize("name", FAMILIES)
async def test_every_output_is_what_it_is_alone(name, folders, warm_families, outputs):
    jobs = jobs_of(name, folders(name))
    assert max(await differences(warm_families(name), jobs, outputs)) <= TOLERANCE


@pytest.mark.parametrize("name", FAMILIES)
async def test_in_half_precision_it_is_nearly_so(name, folders, make_family, outputs):
    jobs = jobs_of(name, folders(name), spec={"dtype": {"default": "bfloat16"}})
    assert max(await differences(make_family(name), jobs, outputs)) <= COARSE


@pytest.mark.parametrize("name", FAMILIES)
async def test_so_it_is_without_guidance(name, folders, warm_families, outputs):
    jobs = jobs_of(name, folders(name), guidance_scale=1.0)
    assert max(await differences(warm_families(name), jobs, outputs)) <= TOLERANCE


async def test_bytes_differ_by_one_at_most(folders, warm_families, outputs):
    jobs = jobs_of("flux", folders("flux"))
    await together(warm_families("flux"), *jobs)
    (shared,) = outputs.of("job-0")
    await artifacts_of(warm_families("flux"), jobs[0])
    (alone,) = outputs.of("job-0")
    assert np.abs(to_rgb(shared).astype(int) - to_rgb(alone).astype(int)).max() <= 1


@pytest.mark.parametrize(
    "changes",
    [{"width": 64}, {"num_inference_steps": 3}, {"guidance_scale": 5.0}, {"max_sequence_length": 16}],
    ids=lambda changes: next(iter(changes)),
)
async def test_jobs_that_are_not_alike_take_turns(changes, folders, warm_families, outputs):
    job = generation_request(model_spec("sd35", folders("sd35")))
    events = await together(warm_families("sd35"), job, replace(job, job_id="other", **changes))
    assert [len(made(each)) for each in events.values()] == [1, 1]
    assert outputs.sizes == [1, 1]


@pytest.mark.parametrize(("name", "sizes"), [("wan_i2v", [1, 1]), ("ltx_i2v", [2, 2])])
async def test_clips_of_two_pictures(name, sizes, folders, warm_families, outputs):
    job, *_ = jobs_of(name, folders(name))
    other = replace(job, job_id="other", source_image=png(32, 32, (0, 0, 200)))
    await together(warm_families(name), job, other)
    assert outputs.sizes == sizes
    shared = outputs.of("other")[0]
    await artifacts_of(warm_families(name), other)
    assert (shared - outputs.of("other")[0]).abs().max() <= TOLERANCE


async def test_a_decoder_that_denoises_makes_one_clip_at_a_time(make_family, outputs, tmp_path):
    pipeline = lambda: tiny_models.ltx(LTXImageToVideoPipeline, denoising_decoder=True)  # noqa: E731
    jobs = jobs_of("ltx_i2v", tiny_models.build(pipeline, tmp_path / "m"))
    await together(make_family("ltx_i2v"), *jobs)
    assert outputs.sizes == [1, 1, 1, 1]


@pytest.mark.parametrize("name", ["wan_i2v", "ltx_i2v"])
async def test_a_picture_that_cannot_be_read_fails_its_own_job_alone(name, folders, warm_families):
    first, second, third = jobs_of(name, folders(name))
    events = await together(warm_families(name), first, replace(second, source_image=b"GIF89a?"), third)
    assert [event.code for event in events["job-1"] if isinstance(event, Failed)] == [
        "source_image_unreadable"
    ]
    assert len(made(events["job-0"])) == len(made(events["job-2"])) == 1


async def test_the_metadata_say_how_many_were_made_at_once(folders, warm_families):
    events = await together(warm_families("flux"), *jobs_of("flux", folders("flux")))
    artifacts = [artifact for each in events.values() for artifact in made(each)]
    assert {artifact.metadata["batch_size"] for artifact in artifacts} == {4}
    assert len({artifact.metadata["generation_time"] for artifact in artifacts}) == 1
