from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs import registry as registry_module
from configs.errors import RegistryError
from configs.hardware import Gpu
from configs.models import FAMILY_TYPES, GgufSource, LocalSource, ModelSpec
from configs.registry import BUILTIN_FILE, Registry, load_registry, read_models
from configs.settings import Settings
from deployments import FAMILIES

GPU = Gpu(name="RTX 4090", memory=24 << 30, free_memory=23 << 30)


@cache
def builtin() -> tuple[ModelSpec, ...]:
    return tuple(read_models(BUILTIN_FILE))


def load(models: str, **environ: str) -> Registry:
    return load_registry(Settings(_env_file=None, models=models), environ)


# -- models.yaml


@pytest.mark.parametrize("spec", builtin(), ids=lambda spec: spec.name)
def test_every_built_in_model_can_be_served(spec: ModelSpec) -> None:
    assert spec.family in FAMILIES
    assert FAMILY_TYPES[spec.family] == spec.type
    assert spec.description
    assert spec.limits.width.default * spec.limits.height.default <= spec.limits.max_pixels
    assert len(spec.default_negative_prompt) <= spec.limits.prompt_length
    assert 0 < spec.num_gpus <= 1


@pytest.mark.parametrize("demo", [True, False], ids=["demo", "full"])
def test_there_is_a_model_of_every_family(demo: bool) -> None:
    assert {spec.family for spec in builtin() if spec.demo == demo} == set(FAMILY_TYPES)


def test_every_full_size_model_says_what_it_takes() -> None:
    for spec in builtin():
        if not spec.demo:
            assert spec.download_gb > 0, spec.name
            assert spec.licence.url, spec.name


def test_the_full_size_models_are_listed() -> None:
    specs = {spec.name: spec for spec in builtin()}
    repos = {spec.repo for spec in specs.values()}
    assert repos >= {
        "black-forest-labs/FLUX.1-dev",
        "stabilityai/stable-diffusion-3.5-large",
        "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        "Wan-AI/Wan2.1-T2V-14B-Diffusers",
        "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
        "Lightricks/LTX-Video",
    }
    transformers = {getattr(spec.transformer, "repo", None) for spec in specs.values()}
    assert "aoxo/flux.1dev-abliteratedv2" in transformers
    assert any(isinstance(spec.transformer, GgufSource) for spec in specs.values())
    assert {spec.repo for spec in specs.values() if spec.requires_auth} == {
        "black-forest-labs/FLUX.1-dev",
        "stabilityai/stable-diffusion-3.5-large",
    }


# -- which models are offered


def test_a_machine_without_a_gpu_offers_the_demos_and_one_with_a_gpu_the_full_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for gpus, demo in [((), True), ((GPU,), False)]:
        monkeypatch.setattr(registry_module, "visible_gpus", lambda gpus=gpus: gpus)
        assert {spec.demo for spec in load("auto").values()} == {demo}


def test_demo_and_full_choose_whatever_the_machine_has() -> None:
    assert {spec.demo for spec in load("demo").values()} == {True}
    assert {spec.demo for spec in load("full").values()} == {False}


def test_every_batch_is_one_when_batching_is_off() -> None:
    settings = Settings(_env_file=None, models="full", batching=False)
    assert {spec.batch_size(64, 64) for spec in load_registry(settings, {}).values()} == {1}


def test_a_models_file_of_ones_own_is_read(own: Any) -> None:
    registry = load(str(own()))
    assert list(registry) == ["mine"]
    assert registry.default() is registry["mine"]
    assert registry.of_type("t2v") == ()
    assert registry.default("t2v") is None


def test_a_model_that_is_not_downloaded_is_no_default(own: Any) -> None:
    assert load(str(own(download_enabled=False))).default() is None


def test_a_model_of_the_environment_replaces_one_of_the_same_name_and_comes_first(own: Any) -> None:
    registry = load(
        str(own()),
        MODEL_1="mine;stabilityai/stable-diffusion-3.5-large;another;huggingface;true",
        MODEL_2="yours;black-forest-labs/FLUX.1-dev;;huggingface;true",
    )
    assert list(registry) == ["mine", "yours"]
    assert registry["mine"].family == "sd35"


# -- bad files

ENTRY: dict[str, Any] = {
    "family": "flux",
    "source": {"kind": "local", "path": "weights/mine"},
    "limits": {
        "steps": {"min": 1, "max": 50, "default": 20},
        "guidance": {"min": 0, "max": 20, "default": 3.5},
        "width": {"min": 64, "max": 256, "default": 64, "multiple": 16},
        "height": {"min": 64, "max": 256, "default": 64, "multiple": 16},
        "max_pixels": 65536,
    },
    "memory_gb": 1,
    "licence": {"name": "mine"},
}


@pytest.fixture
def own(tmp_path: Path) -> Any:
    """Writes a models.yaml with one entry, changed at dotted places; None removes."""

    def write(changes: dict[str, Any] | None = None, **plain: Any) -> Path:
        entry = copy.deepcopy(ENTRY)
        for place, value in ((changes or {}) | plain).items():
            *above, last = place.split(".")
            target = entry
            for part in above:
                target = target[part]
            target[last] = value
            if value is None:
                del target[last]
        file = tmp_path / "models.yaml"
        file.write_text(yaml.safe_dump({"models": {"mine": entry}}))
        return file

    return write


@pytest.mark.parametrize(
    ("place", "value", "field"),
    [
        ("family", "dalle", "family"),
        ("family", None, "family"),
        ("source", None, "source"),
        ("source", {"kind": "ftp", "path": "x"}, "source"),
        ("source", {"kind": "huggingface", "repo": "no-owner"}, "source.huggingface.repo"),
        ("source.path", None, "source.local.path"),
        ("transformer", {"kind": "gguf"}, "transformer.gguf"),
        ("dtype", {"default": "int7"}, "dtype.default"),
        ("limits", None, "limits"),
        ("limits.steps", None, "limits.steps"),
        ("limits.steps.default", 99, "limits.steps"),
        ("limits.width.default", 65, "limits.width"),
        ("limits.width.multiple", 0, "limits.width.multiple"),
        ("limits.guidance.max", float("nan"), "limits.guidance.max"),
        ("limits.max_pixels", 0, "limits.max_pixels"),
        ("limits.hight", 7, "limits.hight"),
        ("memory_gb", 0, "memory_gb"),
        ("memory", "some", "memory"),
        ("num_gpus", -1, "num_gpus"),
        ("licence", None, "licence"),
        ("colour", "red", "colour"),
    ],
)
def test_a_bad_field_stops_with_the_file_the_entry_and_the_field(
    own: Any, place: str, value: Any, field: str
) -> None:
    file = own({place: value})
    with pytest.raises(RegistryError) as caught:
        read_models(file)
    assert (caught.value.file, caught.value.entry, caught.value.field) == (str(file), "mine", field)
    assert all(part in str(caught.value) for part in (str(file), "'mine'", repr(field)))


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "wan_t2v"},
        {
            "limits.frames": {"min": 1, "max": 9, "default": 9},
            "limits.fps": {"min": 1, "max": 9, "default": 9},
        },
    ],
    ids=["a video model without", "an image model with"],
)
def test_frames_are_for_video_models(own: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(RegistryError, match=r"limits\.frames and limits\.fps"):
        read_models(own(changes))


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "-x"])
def test_a_name_that_fits_no_address_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(yaml.safe_dump({"models": {name: ENTRY}}))
    with pytest.raises(RegistryError) as caught:
        read_models(file)
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("models: [1", "is not YAML"),
        ("", "must map names to models"),
        ("7", "must map names to models"),
        ("models:", "must map names to models"),
        ("models: [a]", "must map names to models"),
        ("models: {a: 7}", "must be a mapping"),
    ],
)
def test_a_file_that_is_no_registry_is_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "models.yaml"
    file.write_text(text)
    with pytest.raises(RegistryError, match=problem) as caught:
        read_models(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"nowhere\.yaml: cannot be read"):
        load(str(tmp_path / "nowhere.yaml"))


# -- paths


def test_a_relative_path_is_relative_to_the_file(own: Any, tmp_path: Path) -> None:
    (spec,) = read_models(own(transformer={"kind": "gguf", "path": "../t.gguf"}))
    assert spec.source == LocalSource(path=str(tmp_path / "weights/mine"))
    assert spec.transformer == GgufSource(path=str(tmp_path.parent / "t.gguf"))


def test_an_absolute_path_stays(own: Any) -> None:
    (spec,) = read_models(own({"source.path": "/srv/weights"}))
    assert spec.repo == "/srv/weights"


def test_the_demos_are_found_from_anywhere() -> None:
    for spec in load("demo").values():
        assert Path(spec.repo).is_absolute()
        assert Path(spec.repo).name == spec.name
