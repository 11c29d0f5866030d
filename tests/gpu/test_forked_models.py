"""A forked model process on a CUDA device: `pytest -m gpu tests/gpu`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from configs.registry import BUILTIN_FILE, read_models
from deployments.contract import Artifact
from deployments.process.families import make_family
from deployments.process.launch import Launcher
from deployments.process.nursery import Nursery
from deployments.process.proxy import ModelProcess
from deployments.weights import DownloadSettings
from tests.gpu.__main__ import request_of

pytestmark = pytest.mark.gpu

#: Bytes of the device's memory that come and go by themselves.
NOISE = 32 << 20


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("z") / "private" / "zygote"
    nursery = Nursery(path)
    nursery.start()
    yield path
    nursery.close()


@pytest.fixture
async def forked(zygote: Path) -> AsyncIterator[ModelProcess]:
    model = model_process(Launcher(zygote=zygote))
    yield model
    await model.close()


def model_process(launcher: Launcher) -> ModelProcess:
    make = partial(make_family, "flux", DownloadSettings(offline=True))
    return ModelProcess(make, title="cyberimage: Flux", launch=launcher)


async def picture_of(model: ModelProcess) -> bytes:
    (spec,) = (spec for spec in read_models(BUILTIN_FILE) if spec.name == "demo-flux")
    events = [each.event async for each in model.generate((request_of(spec),))]
    assert isinstance(events[-1], Artifact), events[-1]
    return events[-1].data


def free_bytes() -> int:
    return torch.cuda.mem_get_info()[0]


async def test_a_forked_process_computes_on_the_device_and_unloading_gives_all_memory_back(
    forked: ModelProcess,
) -> None:
    before = free_bytes()
    await picture_of(forked)
    assert free_bytes() < before - NOISE, "it has computed elsewhere"
    await forked.unload()
    assert free_bytes() > before - NOISE


async def test_a_forked_process_makes_the_same_picture_as_one_that_imports_for_itself(
    forked: ModelProcess,
) -> None:
    alone = model_process(Launcher())
    try:
        assert await picture_of(forked) == await picture_of(alone)
    finally:
        await alone.close()
