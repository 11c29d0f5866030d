"""A model that takes the place of another one of its family, and what it takes over from it."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from configs.models import FamilyName, LocalSource
from configs.registry import BUILTIN_FILE, read_models
from deployments.errors import BrokenWeights, LicenceRequired
from deployments.placement import apply_placement, bytes_on, component_sizes
from tests import tiny_models
from tests.generation import artifacts_of, failure_of, generation_request, model_spec

FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)

Tune = Callable[..., Path]


@pytest.fixture
def tune(folders, tmp_path) -> Tune:
    """A fine-tune's folder: some components of its own, of other weights; the others are the base's files."""

    def build(name: FamilyName, *, own: Sequence[str] = ("transformer",)) -> Path:
        base, weights = folders(name), tiny_models.build(tiny_models.PIPELINES[name], tmp_path / "w", seed=1)
        folder = tmp_path / f"tuned-{name}"
        folder.mkdir()
        for entry in base.iterdir():
            if entry.name in own or entry.is_file():
                copy = shutil.copytree if entry.is_dir() else shutil.copy
                copy(weights / entry.name, folder / entry.name)
            else:
                (folder / entry.name).symlink_to(entry)
        return folder

    return build


def components(family: Any) -> dict[str, Any]:
    return dict(family._loaded.pipe.components)


def taken_over(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name, component in after.items() if component is not None and before[name] is component}


def parts(before: dict[str, Any]) -> set[str]:
    """All but the scheduler, whose state is of one pipeline."""
    return {name for name, component in before.items() if component is not None} - {"scheduler"}


@pytest.mark.parametrize("name", FAMILIES)
async def test_only_what_differs_is_loaded_and_the_picture_is_that_of_a_fresh_load(
    name, folders, make_family, tune
):
    base = generation_request(model_spec(name, folders(name)))
    tuned = generation_request(model_spec(name, tune(name), name="tuned"))
    family = make_family(name)
    (first,) = await artifacts_of(family, base)
    before = components(family)
    (switched,) = await artifacts_of(family, tuned)
    assert taken_over(before, components(family)) == parts(before) - {"transformer"}
    (back,) = await artifacts_of(family, base)
    (fresh,) = await artifacts_of(make_family(name), tuned)
    assert switched.data == fresh.data != first.data
    assert back.data == first.data


async def test_a_transformer_from_another_folder_is_exchanged_alone(folders, make_family, tune):
    family, spec = make_family("flux"), model_spec("flux", folders("flux"))
    await artifacts_of(family, generation_request(spec))
    before = components(family)
    source = LocalSource(path=str(tune("flux") / "transformer"))
    tuned = generation_request(spec.model_copy(update={"name": "tuned", "transformer": source}))
    (switched,) = await artifacts_of(family, tuned)
    assert taken_over(before, components(family)) == parts(before) - {"transformer"}
    (fresh,) = await artifacts_of(make_family("flux"), tuned)
    assert switched.data == fresh.data


async def test_the_memory_of_what_goes_is_returned_before_the_next_is_loaded(
    folders, make_family, tune, monkeypatch
):
    family = make_family("flux")
    await artifacts_of(family, generation_request(model_spec("flux", folders("flux"))))
    gone, kept = (weakref.ref(components(family)[name]) for name in ("transformer", "text_encoder"))
    seen = []
    load = type(family).recipes["flux"].pipeline.from_pretrained

    def watched(*args: Any, **options: Any) -> Any:
        seen.append((gone() is None, kept() is None))
        return load(*args, **options)

    monkeypatch.setattr(type(family).recipes["flux"].pipeline, "from_pretrained", watched)
    await artifacts_of(family, generation_request(model_spec("flux", tune("flux"))))
    assert seen == [(True, False)]


async def test_nothing_is_taken_over_in_another_precision(folders, make_family):
    family = make_family("flux")
    await artifacts_of(family, generation_request(model_spec("flux", folders("flux"))))
    before = components(family)
    other = model_spec("flux", folders("flux"), dtype={"default": "bfloat16"})
    await artifacts_of(family, generation_request(other))
    assert taken_over(before, components(family)) == set()


async def test_a_file_that_was_replaced_is_another(folders, make_family, tmp_path):
    folder = Path(shutil.copytree(folders("flux"), tmp_path / "own"))
    family, spec = make_family("flux"), model_spec("flux", folder)
    await artifacts_of(family, generation_request(spec))
    before = components(family)
    shutil.rmtree(folder / "vae")
    weights = tiny_models.build(tiny_models.flux, tmp_path / "w", seed=1)
    shutil.copytree(weights / "vae", folder / "vae")
    request = generation_request(spec.model_copy(update={"name": "mended"}))
    (switched,) = await artifacts_of(family, request)
    assert taken_over(before, components(family)) == parts(before) - {"vae"}
    (fresh,) = await artifacts_of(make_family("flux"), request)
    assert switched.data == fresh.data


async def test_models_of_two_pipelines_in_one_deployment_share_nothing(folders, make_family):
    family = make_family("wan_i2v")
    await artifacts_of(family, generation_request(model_spec("wan_i2v", folders("wan_i2v"))))
    before = components(family)
    await artifacts_of(family, generation_request(model_spec("ltx_i2v", folders("ltx_i2v"))))
    assert not set(map(id, before.values())) & set(map(id, components(family).values())) - {id(None)}


@pytest.mark.parametrize(
    ("old", "new", "shares"),
    [("offload", "offload", True), ("offload", "full", True), ("offload_layers", "offload", False)],
)
async def test_what_waits_in_main_memory_is_taken_over_unless_its_layers_do(
    old, new, shares, folders, make_family, tune, monkeypatch
):
    placements = iter((old, new, new))

    def place(pipe: Any, spec: Any) -> Any:
        apply_placement(pipe, placement := next(placements), torch.device("cpu"))
        return placement

    monkeypatch.setattr("deployments.engine.place", place)
    family, tuned = make_family("flux"), generation_request(model_spec("flux", tune("flux")))
    await artifacts_of(family, generation_request(model_spec("flux", folders("flux"))))
    before = components(family)
    (switched,) = await artifacts_of(family, tuned)
    assert taken_over(before, components(family)) == (parts(before) - {"transformer"} if shares else set())
    (fresh,) = await artifacts_of(make_family("flux"), tuned)
    assert switched.data == fresh.data


async def test_the_loaded_model_stays_while_the_files_of_another_are_refused(folders, make_family):
    family = make_family("flux")
    request = generation_request(model_spec("flux", folders("flux")))
    await artifacts_of(family, request)
    before, fetch = components(family), family._fetch

    def refuse(spec: Any, **options: Any) -> Any:
        raise LicenceRequired("Accept the licence")

    family._fetch = refuse
    failed = await failure_of(family, generation_request(model_spec("flux", folders("flux"), name="gated")))
    assert failed.code == LicenceRequired.code
    family._fetch = fetch
    await artifacts_of(family, request)
    assert taken_over(before, components(family)) == parts(before) | {"scheduler"}


async def test_a_switch_that_fails_leaves_nothing_loaded_and_names_the_model(folders, make_family, tune):
    family = make_family("flux")
    request = generation_request(model_spec("flux", folders("flux")))
    (first,) = await artifacts_of(family, request)
    broken = tune("flux")
    (broken / "transformer" / "diffusion_pytorch_model.safetensors").write_bytes(b"nonsense")
    failed = await failure_of(family, generation_request(model_spec("flux", broken, name="broken")))
    assert (failed.code, family.loaded_model) == (BrokenWeights.code, None)
    (again,) = await artifacts_of(family, request)
    assert again.data == first.data


async def test_the_demo_fine_tune_shares_all_but_its_transformer_with_demo_flux(make_family):
    specs = {spec.name: spec for spec in read_models(BUILTIN_FILE)}
    quick = {"width": 64, "height": 64}
    family = make_family("flux")
    await artifacts_of(family, generation_request(specs["demo-flux"], **quick))
    before = components(family)
    request = generation_request(specs["demo-flux-outline"], **quick)
    (switched,) = await artifacts_of(family, request)
    assert taken_over(before, components(family)) == parts(before) - {"transformer"}
    (fresh,) = await artifacts_of(make_family("flux"), request)
    assert switched.data == fresh.data


async def test_weights_that_are_on_the_device_already_count_as_room_for_the_next(folders, make_family):
    family = make_family("flux")
    await artifacts_of(family, generation_request(model_spec("flux", folders("flux"))))
    pipe = family._loaded.pipe
    assert bytes_on(pipe, torch.device("cpu")) == sum(component_sizes(pipe).values())
    assert bytes_on(pipe, torch.device("cuda")) == 0
