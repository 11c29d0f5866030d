"""What each family gives its pipeline, and how it loads it."""

from __future__ import annotations

import functools
import io
import shutil
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest
import torch
from diffusers import (
    FluxPipeline,
    LTXImageToVideoPipeline,
    LTXPipeline,
    StableDiffusion3Pipeline,
    WanImageToVideoPipeline,
    WanPipeline,
)
from PIL import Image

from configs.models import FamilyName, GgufSource, LocalSource, MaxBatch
from deployments.contract import Artifact
from deployments.errors import BrokenWeights, GenerationFailed, SourceImageUnreadable
from tests import tiny_models
from tests.generation import artifacts_of, failure_of, generation_request, model_spec, png

FAMILIES: tuple[FamilyName, ...] = get_args(FamilyName)
VIDEOS = [name for name in FAMILIES if name not in ("flux", "sd35")]
PIPELINES: dict[FamilyName, Any] = {
    "flux": FluxPipeline,
    "sd35": StableDiffusion3Pipeline,
    "wan_t2v": WanPipeline,
    "wan_i2v": WanImageToVideoPipeline,
    "ltx_t2v": LTXPipeline,
    "ltx_i2v": LTXImageToVideoPipeline,
}


class Recorder:
    """Remembers a pipeline's calls, what came of them, and the calls of its prompt encoder."""

    def __init__(self, pipeline: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        self.results: list[Any] = []
        self.encodings: list[dict[str, Any]] = []
        call, encode = pipeline.__call__, pipeline.encode_prompt

        def recorded_call(pipe: Any, **arguments: Any) -> Any:
            self.calls.append(arguments)
            self.results.append(call(pipe, **arguments))
            return self.results[-1]

        @functools.wraps(encode)
        def recorded_encode(pipe: Any, *args: Any, **arguments: Any) -> Any:
            if arguments.get("prompt_embeds") is None:
                self.encodings.append(arguments)
            return encode(pipe, *args, **arguments)

        monkeypatch.setattr(pipeline, "__call__", recorded_call)
        monkeypatch.setattr(pipeline, "encode_prompt", recorded_encode)


@pytest.fixture
def record(monkeypatch):
    return lambda name: Recorder(PIPELINES[name], monkeypatch)


def clip_of(artifact: Artifact) -> np.ndarray:
    with av.open(io.BytesIO(artifact.data)) as clip:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]).astype(int)


def difference(first: Artifact, second: Artifact) -> float:
    return float(np.abs(clip_of(first) - clip_of(second)).mean())


def loaded(family: Any) -> Any:
    return family._loaded.pipe


@pytest.mark.parametrize("name", FAMILIES)
async def test_every_setting_reaches_the_pipeline(name, folders, make_family, record):
    recorder = record(name)
    spec = model_spec(name, folders(name))
    request = generation_request(
        spec, width=64, height=64, num_inference_steps=3, guidance_scale=6.5, max_sequence_length=20, seed=11
    )
    await artifacts_of(make_family(name), request)
    (call,), encoding = recorder.calls, recorder.encodings[0]
    expected = {
        "width": 64,
        "height": 64,
        "num_inference_steps": 3,
        "guidance_scale": 6.5,
        "max_sequence_length": 20,
    }
    if spec.is_video:
        expected["num_frames"] = 9
    if name.startswith("ltx"):
        expected["frame_rate"] = 8
    assert call.items() >= expected.items()
    assert call["generator"].initial_seed() == 11
    assert (encoding["prompt"], encoding["max_sequence_length"]) == ("a red circle", 20)
    if name != "flux":
        assert encoding["negative_prompt"] == "blurry"


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_prompt_is_encoded_once_for_all_outputs_and_exactly_as_the_call_would(
    name, folders, make_family, record
):
    recorder = record(name)
    spec = model_spec(
        name, folders(name), pipeline_arguments={"true_cfg_scale": 2.0} if name == "flux" else {}
    )
    family = make_family(name)
    spec = spec.model_copy(update={"max_batch": MaxBatch(count=1)})
    await artifacts_of(family, generation_request(spec, num_outputs=2))
    assert len(recorder.encodings) == (2 if name == "flux" else 1)
    bare = {k: v for k, v in recorder.calls[1].items() if "embeds" not in k and "mask" not in k}
    bare |= {"prompt": "a red circle", "negative_prompt": "blurry"}
    bare |= {"generator": torch.Generator().manual_seed(8), "callback_on_step_end": None}
    (pictures,) = loaded(family)(**bare)
    assert torch.equal(pictures, recorder.results[1][0])


@pytest.mark.parametrize(
    ("name", "length"), [("flux", 512), ("sd35", 256), ("wan_t2v", 512), ("wan_i2v", 512), ("ltx_t2v", 128)]
)
async def test_without_a_sequence_length_encoder_and_call_use_the_same(
    name, length, folders, make_family, record
):
    recorder = record(name)
    await artifacts_of(make_family(name), generation_request(model_spec(name, folders(name))))
    assert recorder.encodings[0]["max_sequence_length"] == recorder.calls[0]["max_sequence_length"] == length


@pytest.mark.parametrize("name", FAMILIES)
async def test_guidance_of_one_runs_without_a_negative_prompt(name, folders, make_family):
    request = generation_request(model_spec(name, folders(name)), guidance_scale=1.0)
    assert len(await artifacts_of(make_family(name), request)) == 1


async def test_further_arguments_of_the_model_reach_the_call_but_never_replace_the_requests(
    folders, make_family, record
):
    recorder = record("wan_t2v")
    arguments = {"guidance_scale": 9.0, "num_videos_per_prompt": 1}
    spec = model_spec("wan_t2v", folders("wan_t2v"), pipeline_arguments=arguments)
    await artifacts_of(make_family("wan_t2v"), generation_request(spec))
    assert (recorder.calls[0]["guidance_scale"], recorder.calls[0]["num_videos_per_prompt"]) == (4.0, 1)


async def test_further_arguments_that_concern_the_encoder_reach_it(folders, make_family, record):
    recorder = record("sd35")
    spec = model_spec("sd35", folders("sd35"), pipeline_arguments={"clip_skip": 1})
    await artifacts_of(make_family("sd35"), generation_request(spec))
    assert recorder.encodings[0]["clip_skip"] == 1


async def test_an_argument_that_the_pipeline_does_not_know_is_named(folders, make_family):
    spec = model_spec("flux", folders("flux"), pipeline_arguments={"tru_cfg_scale": 2.0})
    failed = await failure_of(make_family("flux"), generation_request(spec))
    assert (failed.code, "tru_cfg_scale" in failed.message) == (GenerationFailed.code, True)


async def test_flux_takes_a_negative_prompt_only_with_true_guidance(folders, make_family):
    plain = model_spec("flux", folders("flux"))
    guided = model_spec("flux", folders("flux"), pipeline_arguments={"true_cfg_scale": 2.0})

    async def picture(spec: Any, negative_prompt: str) -> bytes:
        request = generation_request(spec, negative_prompt=negative_prompt)
        (artifact,) = await artifacts_of(make_family("flux"), request)
        return np.asarray(Image.open(io.BytesIO(artifact.data))).tobytes()

    assert await picture(plain, "blurry") == await picture(plain, "dark")
    assert await picture(guided, "blurry") != await picture(guided, "dark")


@pytest.mark.parametrize("name", VIDEOS)
async def test_components_have_the_precision_of_the_spec(name, folders, make_family):
    family = make_family(name)
    spec = model_spec(name, folders(name), dtype={"default": "bfloat16"})
    await artifacts_of(family, generation_request(spec))
    pipe = loaded(family)
    assert pipe.transformer.dtype == pipe.text_encoder.dtype == torch.bfloat16
    assert pipe.vae.dtype == (torch.float32 if name.startswith("wan") else torch.bfloat16)
    if name == "wan_i2v":
        assert pipe.image_encoder.dtype == torch.float32


async def test_a_spec_overrides_the_precision_of_a_component(folders, make_family):
    family = make_family("wan_t2v")
    spec = model_spec("wan_t2v", folders("wan_t2v"), dtype={"default": "float32", "vae": "bfloat16"})
    await artifacts_of(family, generation_request(spec))
    assert loaded(family).vae.dtype == torch.bfloat16
    assert loaded(family).transformer.dtype == torch.float32


HALF = {"flux": (), "sd35": (), "wan_t2v": ("vae",), "wan_i2v": ("vae", "image_encoder")}


@pytest.mark.parametrize("name", FAMILIES)
async def test_a_gpu_without_bfloat16_runs_in_float16_what_can_bear_it(
    name, folders, make_family, monkeypatch
):
    family = make_family(name)
    (whole,) = await artifacts_of(family, generation_request(model_spec(name, folders(name))))
    monkeypatch.setattr("deployments.recipe.computes_bfloat16", lambda: False)
    spec = model_spec(name, folders(name), dtype={"default": "bfloat16"})
    (picture,) = await artifacts_of(family, generation_request(spec))
    in_float32 = HALF.get(name, ("transformer", "vae"))
    for component, model in loaded(family).components.items():
        if isinstance(model, torch.nn.Module):
            assert model.dtype == (torch.float32 if component in in_float32 else torch.float16), component
            overflowing = [part for path, part in model.named_modules() if path.endswith(".wo")]
            assert all(part.weight.dtype == torch.float32 for part in overflowing), component
    if picture.media_type == "video":
        assert difference(picture, whole) < 4
    else:
        shown = [np.asarray(Image.open(io.BytesIO(each.data))).astype(int) for each in (picture, whole)]
        assert np.abs(shown[0] - shown[1]).mean() < 4


async def test_a_precision_other_than_bfloat16_is_that_of_every_gpu(folders, make_family, monkeypatch):
    monkeypatch.setattr("deployments.recipe.computes_bfloat16", lambda: False)
    family = make_family("ltx_t2v")
    spec = model_spec("ltx_t2v", folders("ltx_t2v"), dtype={"default": "float32", "vae": "float16"})
    await artifacts_of(family, generation_request(spec))
    assert (loaded(family).transformer.dtype, loaded(family).vae.dtype) == (torch.float32, torch.float16)


@pytest.mark.parametrize("name", ["wan_t2v", "wan_i2v"])
async def test_the_flow_shift_of_the_spec_moves_the_timesteps(name, folders, make_family):
    family = make_family(name)
    spec = model_spec(name, folders(name), scheduler={"flow_shift": 8.0})
    await artifacts_of(family, generation_request(spec))
    scheduler = loaded(family).scheduler
    assert (type(scheduler).__name__, scheduler.config.flow_shift) == ("UniPCMultistepScheduler", 8.0)
    assert scheduler.config.prediction_type == "flow_prediction"


async def test_a_scheduler_setting_that_does_not_exist_is_named(folders, make_family):
    spec = model_spec("flux", folders("flux"), scheduler={"flow_shift": 8.0})
    failed = await failure_of(make_family("flux"), generation_request(spec))
    assert failed.code == BrokenWeights.code
    assert "FlowMatchEulerDiscreteScheduler has no setting flow_shift" in failed.message


@pytest.mark.parametrize("as_pipeline", [True, False], ids=["pipeline-folder", "transformer-folder"])
@pytest.mark.parametrize("name", FAMILIES)
async def test_a_fine_tune_replaces_the_transformer(name, as_pipeline, folders, make_family, tmp_path):
    tune = tiny_models.build(tiny_models.PIPELINES[name], tmp_path / "tune", seed=1)
    base = shutil.copytree(folders(name), tmp_path / "base", ignore=shutil.ignore_patterns("transformer"))
    source = LocalSource(path=str(tune if as_pipeline else tune / "transformer"))
    family = make_family(name)
    await artifacts_of(family, generation_request(model_spec(name, base, transformer=source)))
    merged = loaded(family)
    expected = PIPELINES[name].from_pretrained(tune).transformer.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in merged.transformer.state_dict().items())
    original = PIPELINES[name].from_pretrained(folders(name)).vae.state_dict()
    assert all(torch.equal(tensor, original[key]) for key, tensor in merged.vae.state_dict().items())


@pytest.mark.parametrize("name", ["ltx_t2v", "ltx_i2v"])
async def test_a_gguf_transformer_paints_nearly_what_the_original_does(name, folders, make_family, tmp_path):
    file = tmp_path / "ltx-Q8_0.gguf"
    tiny_models.write_gguf(folders("ltx_t2v"), file)
    family = make_family(name)
    spec = model_spec(name, folders("ltx_t2v"), transformer=GgufSource(path=str(file)))
    request = generation_request(spec)
    (quantized,) = await artifacts_of(family, request)
    (again,) = await artifacts_of(family, request)
    assert quantized.data == again.data
    assert loaded(family).transformer.hf_quantizer is not None
    plain = model_spec(name, folders("ltx_t2v"))
    (exact,) = await artifacts_of(family, generation_request(plain))
    (other,) = await artifacts_of(family, generation_request(plain, prompt="a green square"))
    assert 0 < difference(quantized, exact) < difference(other, exact)


@pytest.mark.parametrize(
    ("name", "source", "fitted"),
    [
        ("wan_i2v", (301, 97), (80, 16)),
        ("wan_i2v", (97, 301), (16, 80)),
        ("ltx_i2v", (301, 97), (96, 32)),
        ("wan_i2v", (5, 5), (48, 48)),
    ],
)
async def test_an_odd_shaped_picture_keeps_its_shape(name, source, fitted, folders, make_family, record):
    recorder = record(name)
    side = 48 if name == "wan_i2v" else 64
    request = generation_request(
        model_spec(name, folders(name)), width=side, height=side, source_image=png(*source)
    )
    (artifact,) = await artifacts_of(make_family(name), request)
    assert (artifact.width, artifact.height) == fitted
    assert recorder.calls[0]["image"].size == fitted


@pytest.mark.parametrize("name", ["wan_i2v", "ltx_i2v"])
async def test_the_clip_depends_on_the_picture(name, folders, make_family):
    family, spec = make_family(name), model_spec(name, folders(name))
    red, blue = (png(32, 32, colour) for colour in ((200, 0, 0), (0, 0, 200)))
    first, second = [
        (await artifacts_of(family, generation_request(spec, source_image=image)))[0] for image in (red, blue)
    ]
    assert first.data != second.data


async def test_a_source_that_is_no_picture_is_refused_and_the_model_stays(folders, make_family):
    family = make_family("wan_i2v")
    request = generation_request(model_spec("wan_i2v", folders("wan_i2v")), source_image=b"GIF89a?")
    assert (await failure_of(family, request)).code == SourceImageUnreadable.code
    assert family.loaded_model == "tiny-wan-i2v"


@pytest.mark.parametrize("name", ["ltx_t2v", "ltx_i2v"])
async def test_a_decoder_that_denoises_gets_its_timestep(name, make_family, record, tmp_path):
    recorder = record(name)
    folder = tiny_models.build(
        lambda: tiny_models.ltx(PIPELINES[name], denoising_decoder=True), tmp_path / "m"
    )
    await artifacts_of(make_family(name), generation_request(model_spec(name, folder)))
    assert (recorder.calls[0]["decode_timestep"], recorder.calls[0]["decode_noise_scale"]) == (0.05, 0.025)


async def test_sd35_runs_without_its_t5_encoder(make_family, tmp_path, folders):
    whole = await artifacts_of(make_family("sd35"), generation_request(model_spec("sd35", folders("sd35"))))
    lean = shutil.copytree(folders("sd35"), tmp_path / "m", ignore=shutil.ignore_patterns("*_3"))
    family = make_family("sd35")
    part = await artifacts_of(family, generation_request(model_spec("sd35", lean)))
    assert loaded(family).text_encoder_3 is None
    assert part[0].data != whole[0].data


@pytest.mark.parametrize("name", ["flux", "wan_i2v"])
@pytest.mark.parametrize("damage", ["truncated", "absent", "incomplete"])
async def test_damaged_weights_are_reported_as_such(name, damage, folders, make_family, tmp_path):
    model = shutil.copytree(folders(name), tmp_path / "m")
    spoil(model / "transformer" / "diffusion_pytorch_model.safetensors", damage)
    failed = await failure_of(make_family(name), generation_request(model_spec(name, model)))
    assert (failed.code, f"tiny-{name.replace('_', '-')}" in failed.message) == (BrokenWeights.code, True)


@pytest.mark.parametrize(
    ("name", "encoder"),
    [("flux", "text_encoder"), ("flux", "text_encoder_2"), ("wan_i2v", "image_encoder")],
)
async def test_an_encoder_that_lacks_weights_is_not_filled_up_with_noise(
    name, encoder, folders, make_family, tmp_path
):
    model = shutil.copytree(folders(name), tmp_path / "m")
    spoil(model / encoder / "model.safetensors", "incomplete")
    failed = await failure_of(make_family(name), generation_request(model_spec(name, model)))
    assert (failed.code, f"{encoder} lacks 1 of its weights" in failed.message) == (BrokenWeights.code, True)


@pytest.mark.parametrize(
    ("name", "encoder", "old", "new"),
    [
        ("flux", "text_encoder", "", "text_model."),
        ("flux", "text_encoder_2", "shared.", "encoder.embed_tokens."),
        ("wan_i2v", "image_encoder", "", "vision_model."),
        ("wan_t2v", "text_encoder", "shared.", "encoder.embed_tokens."),
    ],
)
async def test_an_encoders_weights_may_have_the_names_of_earlier_versions_and_of_tied_ones(
    name, encoder, old, new, folders, make_family, tmp_path
):
    model = shutil.copytree(folders(name), tmp_path / "m")
    rename(model / encoder / "model.safetensors", old, new)
    renamed = await artifacts_of(make_family(name), generation_request(model_spec(name, model)))
    whole = await artifacts_of(make_family(name), generation_request(model_spec(name, folders(name))))
    assert renamed[0].data == whole[0].data


def rename(file: Path, old: str, new: str) -> None:
    """Give the weights whose names begin with `old` names that begin with `new`."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(file).items()
    named = {new + k.removeprefix(old) if k.startswith(old) else k: tensor for k, tensor in tensors}
    save_file(named, file, metadata={"format": "pt"})


def spoil(file: Path, damage: str) -> None:
    from safetensors.torch import load_file, save_file

    if damage == "truncated":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "absent":
        file.unlink()
    else:
        save_file(dict(list(load_file(file).items())[1:]), file, metadata={"format": "pt"})
