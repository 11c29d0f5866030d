"""Which files a model needs, by the names and index files of public repositories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.errors import BrokenWeights
from deployments.weights.parts import Part
from deployments.weights.selection import index_names, needed_names

FLUX_INDEX = {
    "_class_name": "FluxPipeline",
    "feature_extractor": [None, None],
    "requires_safety_checker": False,
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
SHARDS = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
FLUX = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/spiece.model",
    "tokenizer/vocab.json",
    "transformer/config.json",
    "transformer/diffusion_pytorch_model.safetensors.index.json",
    *(f"transformer/{shard}" for shard in SHARDS),
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
]


def pipeline(**changes: Any) -> Part:
    values: dict[str, Any] = {"place": Path(), "shape": "pipeline"}
    return Part(**(values | changes))


def reader(model_index: object = FLUX_INDEX) -> Callable[[str], Any]:
    def read(name: str) -> Any:
        return model_index if name.endswith("model_index.json") else {"weight_map": dict(enumerate(SHARDS))}

    return read


def needed(names: list[str], part: Part | None = None, model_index: object = FLUX_INDEX) -> list[str]:
    return sorted(needed_names(part or pipeline(), names, reader(model_index)))


def test_a_pipeline_needs_its_components() -> None:
    assert needed(FLUX) == sorted(FLUX)


@pytest.mark.parametrize(
    "extra",
    [
        "flux1-dev.safetensors",
        "README.md",
        "text_encoder/pytorch_model.bin",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/model.safetensors.index.fp16.json",
        "text_encoder/flax_model.msgpack",
        "vae/model.onnx",
        "vae/onnx/config.json",
        "text_encoders/t5xxl_fp16.safetensors",
        "transformer/diffusion_pytorch_model-00003-of-00003.safetensors",
        "unet/config.json",
    ],
)
def test_other_files_are_left_alone(extra: str) -> None:
    assert extra not in needed([*FLUX, extra])


def test_without_its_transformer_a_pipeline_still_needs_the_configuration() -> None:
    names = needed(FLUX, pipeline(without_transformer=True))
    assert [n for n in names if n.startswith("transformer/")] == ["transformer/config.json"]


def test_a_pipeline_may_be_in_a_subfolder() -> None:
    names = [f"v1/{name}" for name in FLUX]
    assert needed([*names, "v2/model_index.json"], pipeline(inside="v1")) == sorted(names)


def test_a_transformer_may_be_in_a_subfolder_of_a_whole_pipeline() -> None:
    part = pipeline(shape="model", inside="transformer")
    assert needed(FLUX, part) == [n for n in sorted(FLUX) if n.startswith("transformer/")]


def test_a_transformer_may_be_at_the_root() -> None:
    names = ["config.json", "diffusion_pytorch_model.safetensors"]
    assert needed([*names, "README.md"], pipeline(shape="model")) == names


def test_a_single_file_needs_nothing_else() -> None:
    part = pipeline(shape="file", inside="a-Q8_0.gguf")
    assert needed(["a-Q8_0.gguf", "a-Q4_0.gguf"], part) == ["a-Q8_0.gguf"]


def test_index_files_are_those_of_the_part() -> None:
    other = ["x/transformer/diffusion_pytorch_model.safetensors.index.json", "x/model_index.json"]
    assert index_names(pipeline(), FLUX + other) == [
        "model_index.json",
        "transformer/diffusion_pytorch_model.safetensors.index.json",
    ]


@pytest.mark.parametrize("missing", ["model_index.json", "vae/diffusion_pytorch_model.safetensors"])
def test_a_missing_file_is_named(missing: str) -> None:
    with pytest.raises(BrokenWeights, match=missing.split("/")[0]):
        needed([name for name in FLUX if name != missing])


def test_a_missing_shard_is_named() -> None:
    with pytest.raises(BrokenWeights, match="00002-of-00002"):
        needed([name for name in FLUX if "00002-of" not in name])


def test_a_missing_component_is_named() -> None:
    with pytest.raises(BrokenWeights, match="tokenizer/ is missing"):
        needed([name for name in FLUX if not name.startswith("tokenizer/")])


def test_pickled_weights_are_refused() -> None:
    names = [name.replace("vae/diffusion_pytorch_model.safetensors", "vae/x.bin") for name in FLUX]
    with pytest.raises(BrokenWeights, match=r"vae/ has its weights only as pickle files.*safetensors"):
        needed(names)


@pytest.mark.parametrize("content", [[], None, "text"])
def test_a_model_index_of_another_form_is_refused(content: object) -> None:
    with pytest.raises(BrokenWeights, match="model_index"):
        needed(FLUX, model_index=content)


@pytest.mark.parametrize("content", [{}, [], {"weight_map": 3}])
def test_a_shard_index_of_another_form_is_refused(content: object) -> None:
    def read(name: str) -> Any:
        return FLUX_INDEX if name == "model_index.json" else content

    with pytest.raises(BrokenWeights, match="not an index"):
        needed_names(pipeline(), FLUX, read)
