"""The earlier server's variables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from configs.env_models import env_entries, env_specs, model_variables
from configs.errors import RegistryError
from configs.models import GgufSource, HuggingFaceSource, LocalSource, ModelSpec
from configs.registry import BUILTIN_FILE, read_models

TEMPLATES = read_models(BUILTIN_FILE)
FLUX = "flux-1;black-forest-labs/FLUX.1-dev;FLUX for all;huggingface;true"


def specs(**environ: str) -> list[ModelSpec]:
    return env_specs(env_entries(environ), templates=TEMPLATES)


def spec(value: str) -> ModelSpec:
    (only,) = specs(MODEL_1=value)
    return only


def entry(repo: str, *, name: str = "m", source: str = "huggingface", **options: Any) -> str:
    return f"{name};{repo};;{source};false;{json.dumps(options)}"


def test_an_entry_is_the_built_in_model_of_its_repository_under_its_own_name() -> None:
    flux = spec(FLUX)
    assert (flux.name, flux.description, flux.family) == ("flux-1", "FLUX for all", "flux")
    assert (flux.repo, flux.requires_auth, flux.memory_gb) == ("black-forest-labs/FLUX.1-dev", True, 35)


def test_an_entry_of_another_repository_is_of_the_family_that_its_name_or_repository_tells() -> None:
    for repo, family in [
        ("someone/flux-anime", "flux"),
        ("someone/sd3-anime", "sd35"),
        ("someone/stable-diffusion-3.5-medium", "sd35"),
    ]:
        assert spec(entry(repo)).family == family
        assert spec(entry(repo)).source == HuggingFaceSource(repo=repo)


def test_a_fine_tune_that_is_built_in_keeps_its_parts() -> None:
    tuned = spec(entry("aoxo/flux.1dev-abliteratedv2", name="flux-free"))
    assert tuned.repo == "black-forest-labs/FLUX.1-dev"
    assert isinstance(tuned.transformer, HuggingFaceSource)
    assert tuned.transformer.repo == "aoxo/flux.1dev-abliteratedv2"


def test_a_repository_of_no_family_served_here_is_refused() -> None:
    with pytest.raises(RegistryError, match="of no family served here") as caught:
        spec(entry("kandinsky/k5"))
    assert (caught.value.file, caught.value.entry, caught.value.field) == ("MODEL_1", "m", "repo")


@pytest.mark.parametrize(
    ("variable", "value", "kind"),
    [
        ("MODEL_1", entry("a/wan", name="plain", type="t2v"), "t2v"),
        ("MODEL_1", entry("a/wan", name="my-i2v", type="t2v"), "t2v"),
        ("MODEL_1", entry("a/ltx", name="LTX-I2V"), "i2v"),
        ("MODEL_1", entry("a/wan", name="wan-t2v-14b"), "t2v"),
        ("MODEL_1", FLUX, "image"),
        ("MODEL_T2V", entry("a/wan", name="wan"), "t2v"),
        ("MODEL_I2V", entry("a/wan", name="wan"), "i2v"),
        ("MODEL_T2V", entry("a/wan", name="wan-i2v"), "i2v"),
    ],
)
def test_the_type_is_from_the_options_else_the_name_else_the_variable_else_image(
    variable: str, value: str, kind: str
) -> None:
    assert specs(**{variable: value})[0].type == kind


def test_a_bare_repository_is_enough() -> None:
    wan, ltx = specs(MODEL_T2V="Wan-AI/Wan2.1-T2V-1.3B", MODEL_I2V="Lightricks/LTX-Video")[::-1]
    assert (wan.name, wan.family) == ("wan2.1-t2v-1.3b", "wan_t2v")
    assert (ltx.name, ltx.family) == ("ltx-video", "ltx_i2v")


def test_repositories_of_wan_are_those_that_diffusers_can_load() -> None:
    for repo in ("Wan-AI/Wan2.1-T2V-14B", "Wan-AI/Wan2.1-T2V-14B-Diffusers"):
        assert spec(entry(repo, name="t2v")).repo == "Wan-AI/Wan2.1-T2V-14B-Diffusers"


def test_entries_come_in_the_order_of_their_numbers() -> None:
    environ = {f"MODEL_{n}": entry("a/flux", name=f"m{n}") for n in (10, 2, 1)}
    environ["MODEL_T2V"] = entry("a/wan", name="clip")
    assert [each.name for each in specs(**environ)] == ["m1", "m2", "m10", "clip"]


def test_other_variables_with_such_names_are_let_alone() -> None:
    assert specs(MODEL_NAME="gpt", MODEL_PATH="/srv", MY_MODEL_1="x", MODEL_1_OLD="x") == []


@pytest.mark.parametrize("value", ["false", "False", '"false"', "0", "no"])
def test_a_model_can_be_kept_from_download(value: str) -> None:
    (kept,) = specs(MODEL_1=FLUX, DOWNLOAD_MODEL_1=value)
    assert not kept.download_enabled
    assert specs(MODEL_1=FLUX)[0].download_enabled
    assert specs(MODEL_1=FLUX, DOWNLOAD_MODEL_1="true")[0].download_enabled


OPTIONS = {"type": "t2v", "fixed_steps": 8, "width": 480}
QUOTED = json.dumps(OPTIONS).replace('"', '\\"')


@pytest.mark.parametrize(
    "value",
    [
        f"m;a/wan;;huggingface;false;{json.dumps(OPTIONS)}",
        f'"m;a/wan;;huggingface;false;{json.dumps(OPTIONS)}"',
        f"'m;a/wan;;huggingface;false;{json.dumps(OPTIONS)}'",
        f'"m;a/wan;;huggingface;false;{QUOTED}"',
        f' "m ; a/wan ; ; huggingface ; false ; {QUOTED}" ',
    ],
)
def test_quotes_and_backslashes_that_an_env_file_kept_are_removed(value: str) -> None:
    clip = spec(value)
    assert (clip.type, clip.limits.steps.default, clip.limits.width.default) == ("t2v", 8, 480)


def test_a_line_of_a_dotenv_file_is_read_the_same(tmp_path: Path) -> None:
    file = tmp_path / "models.env"
    file.write_text(f'MODEL_1="m;a/wan;;huggingface;false;{QUOTED}"\n')
    values = {name: value or "" for name, value in dotenv_values(file).items()}
    assert specs(**values)[0].limits.steps.max == 8


def test_the_environment_wins_over_the_dotenv_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text(f'MODEL_1="{FLUX}"\nMODEL_2="{FLUX}"\n')
    monkeypatch.setenv("MODEL_1", entry("a/flux", name="mine"))
    assert [each.name for each in env_entries()] == ["mine", "flux-1"]


@pytest.mark.parametrize("empty", ["", " ", '""'])
def test_an_empty_variable_is_as_if_unset(monkeypatch: pytest.MonkeyPatch, empty: str) -> None:
    assert specs(MODEL_1=empty) == []
    Path(".env").write_text(f'MODEL_1="{FLUX}"\nDOWNLOAD_MODEL_1=false\nMODEL_2=\n')
    for name in ("MODEL_1", "DOWNLOAD_MODEL_1", "MODEL_3"):
        monkeypatch.setenv(name, empty)
    (kept,) = env_entries()
    assert (kept.name, kept.download_enabled) == ("flux-1", False)
    assert model_variables() == {"MODEL_1": FLUX, "DOWNLOAD_MODEL_1": "false"}


def test_a_semicolon_within_the_options_is_theirs() -> None:
    assert spec(entry("a/flux", note="a;b;c")).family == "flux"


def test_options_change_limits_and_defaults() -> None:
    clip = spec(
        entry(
            "a/wan",
            type="t2v",
            steps={"min": 2, "max": 60, "default": 30},
            guidance={"min": 1, "max": 9, "default": 4.5, "step": 0.5},
            num_frames=33,
            height=320,
            guidance_scale=6.5,
        )
    )
    limits = clip.limits
    assert (limits.steps.min, limits.steps.max, limits.steps.default) == (2, 60, 30)
    assert (limits.guidance.max, limits.guidance.default) == (9, 6.5)
    assert limits.frames is not None
    assert (limits.frames.default, limits.height.default) == (33, 320)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("a;b", ""),
        ("flux;a/flux;;huggingface", ""),
        ("m;a/flux;;huggingface;false;{", "options_json"),
        ("m;a/flux;;huggingface;false;[1]", "options_json"),
        ("m;a/flux;;ftp;false", "source"),
        ("m;a/flux;;gguf_url;false", "repo"),
        ('m;https://example.org/x.gguf;;gguf_url;false;{"type": "t2v"}', "repo"),
        ("a b;a/flux;;huggingface;false", "name"),
        (entry("a/flux", width=100), "options_json.width"),
        (entry("a/flux", steps={"min": 9, "max": 1}), "options_json.steps"),
        (entry("a/flux", width="wide"), "options_json.width"),
    ],
)
def test_a_bad_entry_stops_with_the_variable_the_name_and_the_field(value: str, field: str) -> None:
    with pytest.raises(RegistryError) as caught:
        spec(value)
    assert (caught.value.file, caught.value.field) == ("MODEL_1", field)
    assert caught.value.entry == value.split(";")[0]


@pytest.mark.parametrize(
    ("file", "bits"),
    [
        ("flux1-dev-Q4_K_S.gguf", 4),
        ("flux1-dev-q8_0.gguf", 8),
        ("flux1-dev-Q2K_S.gguf", 2),
        ("flux1-dev-IQ3_XXS.gguf", 3),
        ("flux1-dev-F16.gguf", 15),
        ("seq2-flux.gguf", 15),
    ],
)
def test_a_gguf_file_needs_less_memory_than_the_weights_that_it_replaces(file: str, bits: int) -> None:
    url = f"https://huggingface.co/city96/FLUX.1-dev-gguf/blob/main/{file}"
    flux = spec(entry(url, name="flux", source="gguf_url"))
    assert flux.memory_gb == pytest.approx(35 - 22.2 * (15 - bits) / 16, abs=0.05)


def test_a_gguf_file_of_the_hub_is_the_transformer_of_the_family() -> None:
    url = "https://huggingface.co/city96/LTX-Video-gguf/resolve/main/ltx-Q4.gguf?download=true"
    clip = spec(entry(url, name="ltx-t2v", source="gguf_url"))
    assert clip.transformer == GgufSource(repo="city96/LTX-Video-gguf", file="ltx-Q4.gguf", revision="main")
    assert clip.repo == "Lightricks/LTX-Video"


def test_local_paths_are_those_of_the_starting_folder(tmp_path: Path) -> None:
    local = spec(entry("weights/my-flux", name="flux", source="local"))
    assert local.source == LocalSource(path=str(tmp_path / "weights/my-flux"))
    gguf = spec(entry("ltx.gguf", name="ltx-t2v", source="gguf_url"))
    assert gguf.transformer == GgufSource(path=str(tmp_path / "ltx.gguf"))


@pytest.mark.parametrize(("file", "source"), [("weights/my-flux", "local"), ("flux.gguf", "gguf_url")])
def test_another_process_finds_local_weights_from_another_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, source: str
) -> None:
    monkeypatch.setenv("MODEL_1", entry(file, name="flux", source=source))
    assert model_variables() == {"MODEL_1": entry(str(tmp_path / file), name="flux", source=source)}
