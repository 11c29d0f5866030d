from types import SimpleNamespace

import pytest
import torch
from diffusers import (
    FluxTransformer2DModel,
    LTXVideoTransformer3DModel,
    SD3Transformer2DModel,
    WanTransformer3DModel,
)
from hypothesis import given
from hypothesis import strategies as st

from configs.env_models import env_entries, env_specs
from configs.hardware import Gpu, free_ram
from configs.registry import BUILTIN_FILE, read_models
from deployments.errors import GenerationFailed
from deployments.placement import (
    GIB,
    PIN_EXACTLY,
    accelerator,
    apply_placement,
    can_hold,
    choose_placement,
    component_sizes,
    computes_bfloat16,
    pin_exactly,
    place,
    unusable_gpu,
    working_memory,
)
from tests.generation import artifacts_of, failure_of, fetch_local, generation_request, model_spec

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


@pytest.mark.parametrize(
    ("mode", "free_gib", "placement"),
    [("auto", 80, "full"), ("auto", 32, "offload_layers"), ("offload", 80, "offload_layers")],
)
def test_no_component_comes_back_into_main_memory_that_cannot_hold_all(mode, free_gib, placement):
    chosen = choose_placement(mode, FLUX, working=2 * GIB, free=free_gib * GIB, held=False)
    assert chosen == placement


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


@pytest.fixture
def hidden_from_torch(monkeypatch):
    """A GPU that the driver reports and torch does not see."""
    gpu = Gpu(name="RTX 4090", memory=24 * GIB, free_memory=23 * GIB)
    monkeypatch.setattr("deployments.placement.visible_gpus", lambda: (gpu,))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


async def test_a_gpu_that_torch_cannot_use_is_not_silently_the_cpu(
    hidden_from_torch, folders, make_family, monkeypatch
):
    monkeypatch.setattr(torch.version, "cuda", None)
    spec = model_spec("flux", folders("flux"))
    failed = await failure_of(make_family("flux"), generation_request(spec))
    assert failed.code == GenerationFailed.code
    assert f"torch {torch.__version__} is built without CUDA" in failed.message


async def test_the_demo_models_run_on_the_cpu_all_the_same(hidden_from_torch, folders, make_family):
    spec = model_spec("flux", folders("flux"), demo=True)
    assert len(await artifacts_of(make_family("flux"), generation_request(spec))) == 1


def test_torchs_own_reason_names_the_driver(hidden_from_torch, monkeypatch):
    def init() -> None:
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 12020).")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "init", init)
    problem = unusable_gpu()
    assert "CUDA 13.0" in problem
    assert "driver on your system is too old (found version 12020)" in problem


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpus_that_are_hidden_on_purpose_are_no_problem(hidden_from_torch, monkeypatch, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert unusable_gpu() is None


def test_a_machine_without_a_gpu_is_no_problem(hidden_from_torch, monkeypatch):
    monkeypatch.setattr("deployments.placement.visible_gpus", lambda: ())
    assert unusable_gpu() is None


# -- old GPUs


def show_gpu(monkeypatch: pytest.MonkeyPatch, major: int, minor: int) -> None:
    """To torch: one of that compute capability, where torch is built for Turing and later ones."""
    told = {
        "is_available": lambda: True,
        "current_device": lambda: 0,
        "get_device_properties": lambda device: SimpleNamespace(major=major, minor=minor),
        "get_device_capability": lambda: (major, minor),
        "get_device_name": lambda: "Old",
        "get_arch_list": lambda: ["sm_75", "sm_80", "sm_90a", "sm_120", "compute_120"],
    }
    for name, function in told.items():
        monkeypatch.setattr(torch.cuda, name, function)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))


@pytest.mark.parametrize(
    ("capability", "computes"), [((7, 5), False), ((8, 0), True), ((8, 9), True), ((12, 0), True)]
)
def test_bfloat16_is_computed_from_ampere_on(monkeypatch, capability, computes):
    show_gpu(monkeypatch, *capability)
    assert (computes_bfloat16(), unusable_gpu()) == (computes, None)


def test_the_cpu_computes_bfloat16():
    assert computes_bfloat16()


async def test_a_gpu_that_torch_is_not_built_for_is_refused_and_demo_models_run_on_the_cpu(
    monkeypatch, folders, make_family
):
    with monkeypatch.context() as patch:
        show_gpu(patch, 7, 0)
        assert accelerator() == torch.device("cpu")
        failed = await failure_of(
            make_family("flux"), generation_request(model_spec("flux", folders("flux")))
        )
    assert failed.code == GenerationFailed.code
    assert "compute capability 7.5 and more, Old has 7.0" in failed.message


# -- main memory for layers


class Layered:
    """A pipeline that remembers how its layers are to be offloaded."""

    def __init__(self) -> None:
        self.components = {"vae": torch.nn.Linear(256, 1024, bias=False)}
        self.asked: dict[str, object] = {}

    def enable_group_offload(self, **asked: object) -> None:
        self.asked = asked


@pytest.fixture
def settings(monkeypatch):
    """The allocator's settings, one text for each time that they were set."""
    kept = [""]
    monkeypatch.setattr(torch._C, "_accelerator_getAllocatorSettings", lambda: kept[-1])
    monkeypatch.setattr(torch._C, "_accelerator_setAllocatorSettings", kept.append)
    return kept


@pytest.mark.parametrize(("free_gib", "short"), [(64, False), (-64, True)])
def test_layers_are_pinned_exactly_and_where_main_memory_is_short_one_by_one(
    settings, monkeypatch, free_gib, short
):
    monkeypatch.setattr("deployments.placement.free_ram", lambda: free_gib * GIB)
    pipe = Layered()
    apply_placement(pipe, "offload_layers", torch.device("cuda"))
    assert (pipe.asked["use_stream"], pipe.asked["low_cpu_mem_usage"]) == (True, short)
    assert settings == ["", PIN_EXACTLY]


@pytest.mark.parametrize(("free_gib", "placement"), [(64, "offload"), (-64, "offload_layers")])
def test_where_main_memory_is_short_layers_wait_instead_of_components(monkeypatch, free_gib, placement):
    monkeypatch.setattr("deployments.placement.accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr("deployments.placement.free_memory", lambda device: 8 * GIB)
    monkeypatch.setattr("deployments.placement.free_ram", lambda: free_gib * GIB)
    monkeypatch.setattr("deployments.placement.apply_placement", lambda pipe, placement, device: None)
    assert place(Layered(), model_spec("flux", memory="offload")) == placement


def test_what_has_been_loaded_makes_room_for_its_pinned_copy(monkeypatch):
    monkeypatch.setattr("deployments.placement.free_ram", lambda: 0)
    held = type("Held", (), {"rss": 34 * GIB, "shared": GIB})
    monkeypatch.setattr("deployments.placement.psutil.Process.memory_info", lambda process: held)
    assert can_hold({"transformer": 24 * GIB, "text_encoder": 8 * GIB})
    assert not can_hold({"transformer": 24 * GIB, "text_encoder": 9 * GIB})


def test_a_persons_own_settings_of_the_allocator_stay(settings):
    settings[0] = "max_split_size_mb:100,"
    pin_exactly()
    assert settings[-1] == f"max_split_size_mb:100,{PIN_EXACTLY}"
    settings.append("pinned_max_round_threshold_mb:64")
    pin_exactly()
    assert settings[-1] == "pinned_max_round_threshold_mb:64"


def test_torch_knows_the_setting():
    before = torch._C._accelerator_getAllocatorSettings()
    pin_exactly()
    assert PIN_EXACTLY in torch._C._accelerator_getAllocatorSettings()
    torch._C._accelerator_setAllocatorSettings(before)


@pytest.mark.parametrize(("limit", "free_gib"), [(str(8 * GIB), 5), ("max", 16), (str(64 * GIB), 16)])
def test_a_containers_limit_counts_where_it_leaves_less(monkeypatch, tmp_path, limit, free_gib):
    (tmp_path / "memory.max").write_text(limit)
    (tmp_path / "memory.stat").write_text(f"anon {2 * GIB}\nfile {4 * GIB}\nshmem {GIB}\n")
    monkeypatch.setattr("configs.hardware.CGROUP", tmp_path)
    available = type("Memory", (), {"available": 16 * GIB})
    monkeypatch.setattr("deployments.placement.psutil.virtual_memory", lambda: available)
    assert free_ram() == free_gib * GIB


def test_a_gguf_file_of_4_bits_makes_flux_fit_where_it_does_not():
    (flux,) = (spec for spec in read_models(BUILTIN_FILE) if spec.name == "flux-1-dev")
    url = "https://huggingface.co/city96/FLUX.1-dev-gguf/blob/main/flux1-dev-Q4_K_S.gguf"
    (small,) = env_specs(
        env_entries({"MODEL_1": f"flux-q4;{url};;gguf_url;false"}), templates=read_models(BUILTIN_FILE)
    )
    quantised = FLUX | {"transformer": int(6.4 * GIB)}
    for spec, sizes, placement in ((flux, FLUX, "offload_layers"), (small, quantised, "full")):
        working = working_memory(spec, sizes)
        assert choose_placement("auto", sizes, working=working, free=23 * GIB) == placement


def test_the_transformers_of_the_registry_have_the_size_that_it_says():
    layout = {
        "flux-1-dev": (FluxTransformer2DModel, {"guidance_embeds": True}),
        "sd-3.5-large": (
            SD3Transformer2DModel,
            {
                "num_layers": 38,
                "num_attention_heads": 38,
                "caption_projection_dim": 2432,
                "pooled_projection_dim": 2048,
                "joint_attention_dim": 4096,
                "qk_norm": "rms_norm",
            },
        ),
        "wan2.1-t2v-1.3b": (
            WanTransformer3DModel,
            {"num_attention_heads": 12, "ffn_dim": 8960, "num_layers": 30},
        ),
        "wan2.1-t2v-14b": (WanTransformer3DModel, {}),
        "wan2.1-i2v-14b-480p": (
            WanTransformer3DModel,
            {"in_channels": 36, "image_dim": 1280, "added_kv_proj_dim": 5120},
        ),
        "ltx-video-t2v": (LTXVideoTransformer3DModel, {}),
    }
    known = {spec.name: spec for spec in read_models(BUILTIN_FILE)}
    for name, (kind, config) in layout.items():
        with torch.device("meta"):
            weights = sum(parameter.numel() for parameter in kind(**config).parameters())
        assert known[name].transformer_gb == pytest.approx(2 * weights / GIB, abs=0.06), name
