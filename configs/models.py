"""What a model is: where its weights are, how they are loaded, what may be asked of it."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

ModelType = Literal["image", "t2v", "i2v"]
MODEL_TYPES: tuple[ModelType, ...] = get_args(ModelType)
FamilyName = Literal["flux", "sd35", "wan_t2v", "wan_i2v", "ltx_t2v", "ltx_i2v"]
DtypeName = Literal["bfloat16", "float16", "float32"]
MemoryMode = Literal["auto", "full", "offload"]

FAMILY_TYPES: dict[FamilyName, ModelType] = {
    "flux": "image",
    "sd35": "image",
    "wan_t2v": "t2v",
    "wan_i2v": "i2v",
    "ltx_t2v": "t2v",
    "ltx_i2v": "i2v",
}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class IntRange(_Value):
    """An integer setting: inclusive bounds, default, and the grid `offset + k * multiple` it must lie on."""

    min: int
    max: int
    default: int
    multiple: int = Field(default=1, ge=1)
    offset: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if not self.min <= self.max:
            raise ValueError(f"min {self.min} is above max {self.max}")
        if (problem := self.problem(self.default)) is not None:
            raise ValueError(f"default {self.default} {problem}")
        return self

    def nearest(self, value: int) -> int:
        """The allowed value closest to `value`; the smaller of two equally close ones."""
        low = math.ceil((self.min - self.offset) / self.multiple)
        high = math.floor((self.max - self.offset) / self.multiple)
        steps, rest = divmod(value - self.offset, self.multiple)
        steps += rest * 2 > self.multiple
        return self.offset + min(max(steps, low), high) * self.multiple

    def problem(self, value: int) -> str | None:
        """What is wrong with `value`, as the end of a sentence that begins with its name; None if nothing."""
        if value < self.min or value > self.max:
            return f"must be between {self.min} and {self.max}"
        if (value - self.offset) % self.multiple:
            grid = f"a multiple of {self.multiple}"
            if self.offset:
                grid += f" plus {self.offset}"
            return f"must be {grid}; the nearest that fits is {self.nearest(value)}"
        return None


class FloatRange(_Value):
    """A real-valued setting: inclusive bounds, default, and the increment a form should offer."""

    min: float
    max: float
    default: float
    step: float = Field(default=0.5, gt=0)

    @model_validator(mode="after")
    def _default_is_allowed(self) -> Self:
        if not self.min <= self.default <= self.max:
            raise ValueError(f"default {self.default} is outside {self.min} to {self.max}")
        return self


class Limits(_Value):
    """What may be asked of a model. `frames` and `fps` are set for video models and only for them."""

    steps: IntRange
    guidance: FloatRange
    width: IntRange
    height: IntRange
    max_pixels: int = Field(gt=0, description="Largest width * height.")
    frames: IntRange | None = None
    fps: IntRange | None = None
    max_sequence_length: IntRange | None = None
    prompt_length: int = Field(default=2000, gt=0, description="In characters.")
    num_images: int = Field(default=8, ge=1, description="Largest number of outputs of one job.")


class MaxBatch(_Value):
    """How much one call of the pipeline may make: at most `count` outputs, of at most `pixels` together."""

    count: int = Field(default=8, ge=1)
    pixels: int = Field(default=2**20, gt=0, description="Width * height * frames, summed over the outputs.")

    def of(self, width: int, height: int, frames: int = 1) -> int:
        """Outputs of that size that one call may make, at least 1."""
        return min(self.count, max(1, self.pixels // (width * height * frames)))


class HuggingFaceSource(_Value):
    """A diffusers repository on the Hugging Face Hub."""

    kind: Literal["huggingface"] = "huggingface"
    repo: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = "main"
    requires_auth: bool = Field(default=False, description="Gated: wants a token and an accepted licence.")
    subfolder: str | None = None


class LocalSource(_Value):
    """A diffusers folder on this machine. A relative path is relative to the registry file."""

    kind: Literal["local"] = "local"
    path: str


class GgufSource(_Value):
    """One GGUF file: in a Hub repository (`repo` and `file`) or on this machine (`path`)."""

    kind: Literal["gguf"] = "gguf"
    repo: str | None = Field(default=None, pattern=r"^[\w.-]+/[\w.-]+$")
    file: str | None = None
    revision: str = "main"
    path: str | None = None

    @model_validator(mode="after")
    def _says_where(self) -> Self:
        if (self.path is None) == (self.repo is None or self.file is None):
            raise ValueError("a GGUF source needs either `path`, or `repo` and `file`")
        return self


Source = Annotated[HuggingFaceSource | LocalSource, Field(discriminator="kind")]
TransformerSource = Annotated[HuggingFaceSource | LocalSource | GgufSource, Field(discriminator="kind")]


class Licence(_Value):
    """Terms that come with the weights. `url` is the page where a gated licence is accepted."""

    name: str
    url: str | None = None


class ModelSpec(_Value):
    """One model of the registry. Everything a family needs to load it and to judge a request."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    family: FamilyName
    description: str = ""
    example_prompts: tuple[str, ...] = Field(
        default=(), description="What the page offers while nothing is typed; should come out well."
    )
    source: Source
    transformer: TransformerSource | None = Field(
        default=None, description="Replaces the transformer of `source`: a fine-tune or a GGUF file."
    )
    dtype: dict[str, DtypeName] = Field(
        default={"default": "bfloat16"}, description="Per component name; `default` for the others."
    )
    limits: Limits
    supports_negative_prompt: bool = True
    default_negative_prompt: str = ""
    scheduler: dict[str, float | int | bool | str] = Field(
        default_factory=dict, description="Overrides of the scheduler's own configuration."
    )
    pipeline_arguments: dict[str, float | int | bool | str] = Field(
        default_factory=dict, description="Further keyword arguments of every pipeline call."
    )
    memory: MemoryMode = "auto"
    memory_gb: float = Field(gt=0, description="GPU memory of a run with all weights resident, GiB.")
    transformer_gb: float = Field(default=0, ge=0, description="The transformer's part of it, GiB.")
    download_gb: float = Field(default=0, ge=0, description="Size of the files to download, GB.")
    num_gpus: float = Field(default=1.0, ge=0)
    max_batch: MaxBatch | None = Field(
        default=None, description="Default: pictures up to 1024 * 1024 pixels in all; clips one at a time."
    )
    licence: Licence
    demo: bool = Field(default=False, description="Bundled tiny weights: real classes, toy pictures.")
    download_enabled: bool = True

    @property
    def type(self) -> ModelType:
        return FAMILY_TYPES[self.family]

    @property
    def is_video(self) -> bool:
        return self.type != "image"

    @property
    def repo(self) -> str:
        """What identifies the weights to a person: the Hub repository, or the local path."""
        return self.source.repo if isinstance(self.source, HuggingFaceSource) else self.source.path

    @property
    def requires_auth(self) -> bool:
        parts = (self.source, self.transformer)
        return any(isinstance(p, HuggingFaceSource) and p.requires_auth for p in parts)

    def batch_size(self, width: int, height: int, frames: int | None = None) -> int:
        """The most outputs of that size that one call of the pipeline may make."""
        default = MaxBatch(count=1) if self.is_video else MaxBatch()
        return (self.max_batch or default).of(width, height, frames or 1)

    def dtype_of(self, component: str) -> DtypeName:
        return self.dtype.get(component) or self.dtype.get("default") or "bfloat16"

    @model_validator(mode="after")
    def _limits_match_the_type(self) -> Self:
        has_frames = self.limits.frames is not None and self.limits.fps is not None
        if has_frames != self.is_video:
            wanted = "needs" if self.is_video else "must not have"
            raise ValueError(f"a model of type {self.type} {wanted} limits.frames and limits.fps")
        return self
