"""A run that is stopped in the middle of a step, of its prompt's encoding or of its decoding."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, get_args

import pytest
import torch

from configs.models import FamilyName
from deployments.contract import GenerationRequest
from deployments.engine import Family
from deployments.lookouts import layers, looking_up
from deployments.placement import apply_placement
from tests import tiny_models
from tests.generation import artifacts_of, events_of, generation_request, model_spec

FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
T5 = {"flux": "text_encoder_2", "sd35": "text_encoder_3"}
FIRST_AND_SECOND = {
    "flux": ("transformer.transformer_blocks.0", "transformer.single_transformer_blocks.0"),
    "wan_t2v": ("transformer.blocks.0", "transformer.blocks.1"),
    "wan_i2v": ("transformer.blocks.0", "transformer.blocks.1"),
}


def neighbours(name: FamilyName, part: str) -> tuple[str, str]:
    """Two layers, of which the second is computed after the first."""
    match part:
        case "encoding":
            block = f"{T5.get(name, 'text_encoder')}.encoder.block.0"
            return f"{block}.layer.0", f"{block}.layer.1"
        case "decoding":
            return "vae.decoder.up_blocks.0", "vae.decoder.up_blocks.1"
        case _:
            blocks = "transformer.transformer_blocks"
            return FIRST_AND_SECOND.get(name, (f"{blocks}.0", f"{blocks}.1"))


def module_of(family: Family, path: str) -> torch.nn.Module:
    assert family._loaded is not None
    component, _, inside = path.partition(".")
    module: torch.nn.Module = getattr(family._loaded.pipe, component).get_submodule(inside)
    return module


class Gate:
    """Holds the first pass through a layer at its end, and counts the passes that have begun after it."""

    def __init__(self) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.later = 0

    @contextmanager
    def between(self, first: torch.nn.Module, second: torch.nn.Module) -> Iterator[None]:
        handles = [first.register_forward_hook(self._hold), second.register_forward_hook(self._count)]
        yield
        for handle in handles:
            handle.remove()

    def _hold(self, *call: Any) -> None:
        self.reached.set()
        assert self.open.wait(30)

    def _count(self, *call: Any) -> None:
        self.later += 1


async def stop_between(family: Family, request: GenerationRequest, first: str, second: str) -> int:
    """Stop a run after the first layer; how often the second has been computed then."""
    gate = Gate()
    with gate.between(module_of(family, first), module_of(family, second)):
        task = asyncio.create_task(events_of(family, request))
        assert await asyncio.to_thread(gate.reached.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    return gate.later


def leftovers(family: Family) -> list[torch.nn.Module]:
    assert family._loaded is not None
    return [layer for layer in layers(family._loaded.pipe) if layer._forward_pre_hooks]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("part", ["encoding", "step", "decoding"])
async def test_it_ends_before_the_next_layer_and_leaves_no_trace(name, part, folders, warm_families):
    family, job = warm_families(name), generation_request(model_spec(name, folders(name)))
    (fresh,) = await artifacts_of(family, job)
    other = generation_request(job.model, seed=8, prompt="a green square", num_inference_steps=5)
    assert await stop_between(family, other, *neighbours(name, part)) == 0
    (after,) = await artifacts_of(family, job)
    assert after.data == fresh.data
    assert leftovers(family) == []


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    ("placement", "part"), [("offload", "encoding"), ("offload", "step"), ("offload_layers", "step")]
)
async def test_weights_that_wait_in_main_memory_are_used_again(
    name, placement, part, folders, warm_families, make_family, monkeypatch
):
    job = generation_request(model_spec(name, folders(name)))
    (fresh,) = await artifacts_of(warm_families(name), job)
    cpu = torch.device("cpu")
    monkeypatch.setattr("deployments.engine.place", lambda pipe, spec: apply_placement(pipe, placement, cpu))
    family = make_family(name)
    await artifacts_of(family, job)
    other = generation_request(job.model, seed=8, prompt="a green square", num_inference_steps=5)
    assert await stop_between(family, other, *neighbours(name, part)) == 0
    (after,) = await artifacts_of(family, job)
    assert after.data == fresh.data


@pytest.mark.parametrize("name", ["wan_t2v", "wan_i2v"])
async def test_the_features_of_a_clip_that_is_not_decoded_are_freed(name, folders, make_family):
    family, job = make_family(name), generation_request(model_spec(name, folders(name)))
    await artifacts_of(family, job)
    await stop_between(family, job, *neighbours(name, "decoding"))
    assert family._loaded is not None
    vae = family._loaded.pipe.vae
    assert vae._feat_map == [None] * len(vae._feat_map)


@pytest.mark.parametrize("name", FAMILIES)
async def test_each_model_looks_up(name, folders, warm_families):
    family = warm_families(name)
    await artifacts_of(family, generation_request(model_spec(name, folders(name))))
    assert family._loaded is not None
    watched = layers(family._loaded.pipe)
    for component, model in family._loaded.pipe.components.items():
        if isinstance(model, torch.nn.Module):
            assert watched & set(model.modules()), component


def test_each_layer_is_watched_once_and_no_more_afterwards():
    pipe = tiny_models.ltx(tiny_models.LTXPipeline)
    pipe.vae.decoder.absent = torch.nn.ModuleList([None])  # As in the decoder of a demo model.
    found = layers(pipe)
    with suppress(ValueError), looking_up(pipe, lambda: None):
        assert all(len(layer._forward_pre_hooks) == 1 for layer in found)
        raise ValueError
    assert not any(layer._forward_pre_hooks for layer in found)
