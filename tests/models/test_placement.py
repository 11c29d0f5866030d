import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deployments.placement import GIB, apply_placement, choose_placement, component_sizes, working_memory
from tests.generation import artifacts_of, fetch_local, generation_request, model_spec

FLUX = {"transformer": 24 * GIB, "text_encoder_2": 9 * GIB, "text_encoder": GIB // 4, "vae": GIB // 5}


@pytest.mark.parametrize(
    ("mode", "free_gib", "placement"),
    [
        ("auto", 80, "full"),
        ("auto", 32, "offload"),
        ("auto", 24, "offload_layers"),
        ("auto", None, "full"),
        ("full", 8, "full"),
        ("offload", 80, "offload"),
        ("offload", 16, "offload_layers"),
        ("offload", None, "offload"),
    ],
)
def test_the_fastest_placement_that_fits_is_chosen(mode, free_gib, placement):
    free = None if free_gib is None else free_gib * GIB
    assert choose_placement(mode, FLUX, working=2 * GIB, free=free) == placement


@given(st.integers(0, 100), st.integers(0, 100))
def test_more_memory_never_means_a_slower_placement(some, more):
    speed = ["offload_layers", "offload", "full"]

    def chosen(free: int) -> int:
        return speed.index(choose_placement("auto", FLUX, working=2 * GIB, free=free * GIB))

    assert chosen(some) <= chosen(some + more)


def test_the_working_memory_is_what_the_spec_asks_beyond_the_weights():
    spec = model_spec("flux", memory_gb=40)
    assert working_memory(spec, FLUX) == 40 * GIB - sum(FLUX.values())


def test_an_estimate_below_the_weights_leaves_room_all_the_same():
    assert working_memory(model_spec("flux", memory_gb=1), FLUX) == 24 * GIB // 10


async def test_sizes_are_those_of_the_weights_as_loaded(folders, make_family):
    family = make_family("flux")
    await artifacts_of(family, generation_request(model_spec("flux", folders("flux"))))
    single = component_sizes(family._loaded.pipe)
    spec = model_spec("flux", folders("flux"), dtype={"default": "bfloat16"})
    await artifacts_of(family, generation_request(spec))
    assert component_sizes(family._loaded.pipe)["vae"] == pytest.approx(single["vae"] / 2, rel=0.01)


@pytest.mark.parametrize("name", ["flux", "sd35", "wan_t2v", "wan_i2v", "ltx_t2v", "ltx_i2v"])
@pytest.mark.parametrize("placement", ["offload", "offload_layers"])
async def test_an_offloaded_pipeline_makes_the_same_picture(
    name, placement, folders, make_family, monkeypatch
):
    request = generation_request(model_spec(name, folders(name)))
    (resident,) = await artifacts_of(make_family(name), request)
    cpu = torch.device("cpu")
    monkeypatch.setattr("deployments.engine.place", lambda pipe, spec: apply_placement(pipe, placement, cpu))
    family = make_family(name)
    assert family._fetch is fetch_local
    (first,), (second,) = await artifacts_of(family, request), await artifacts_of(family, request)
    assert first.data == second.data == resident.data
