"""Bodies of this API's requests. What is not named here is ignored: its clients send a hundred fields."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from serve_app.api.schemas import MAX_SEED, NUMBER, Name, Text

#: Pictures of one request; they travel in one reply.
MOST_PICTURES = 64

# Bounds that keep arithmetic finite; what a model can make is another matter (fitting.py).
Side = Annotated[int, Field(ge=1, le=65_536), NUMBER]
Steps = Annotated[int, Field(ge=1, le=100_000), NUMBER]
Scale = Annotated[float, Field(ge=0, le=1_000, allow_inf_nan=False), NUMBER]
Count = Annotated[int, Field(ge=1, le=MOST_PICTURES), NUMBER]
#: Small enough for the seed of the last picture, too.
Seed = Annotated[
    int, Field(ge=-1, le=MAX_SEED - MOST_PICTURES, description="-1 or absent: a random one."), NUMBER
]


class OverrideSettings(BaseModel):
    """Options for this request only."""

    sd_model_checkpoint: Name | None = None


class Txt2Img(BaseModel):
    """POST /sdapi/v1/txt2img. What is absent is the model's default."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"prompt": "a large red circle on a blue background", "steps": 12}}
    )
    prompt: Text = ""
    negative_prompt: Text | None = None
    steps: Steps | None = None
    cfg_scale: Scale | None = None
    width: Side | None = None
    height: Side | None = None
    seed: Seed | None = -1
    batch_size: Count = 1
    n_iter: Count = 1
    sampler_name: Text | None = Field(default=None, description="Ignored: each model has its own sampler.")
    scheduler: Text | None = Field(default=None, description="Ignored, too.")
    override_settings: OverrideSettings | None = None
    override_settings_restore_afterwards: StrictBool = True
    send_images: StrictBool = True
    force_task_id: Name | None = Field(default=None, description="The name of this task in `current_task`.")

    @property
    def pictures(self) -> int:
        return self.batch_size * self.n_iter

    @property
    def checkpoint(self) -> str | None:
        """The model asked for in this request."""
        return self.override_settings.sd_model_checkpoint if self.override_settings else None

    @model_validator(mode="after")
    def _not_too_many(self) -> Self:
        if self.pictures > MOST_PICTURES:
            raise ValueError(f"batch_size times n_iter is {self.pictures}; at most {MOST_PICTURES} are made")
        return self


class Options(BaseModel):
    """POST /sdapi/v1/options: the whole object or a part; only the checkpoint can be changed."""

    model_config = ConfigDict(extra="allow")
    sd_model_checkpoint: Name | None = None


class PngInfo(BaseModel):
    """POST /sdapi/v1/png-info."""

    image: str = Field(description="A PNG in base64, with or without a data: prefix.")


class _Reply(BaseModel):
    """Replies are not validated on the way; these describe them."""


class Pictures(_Reply):
    images: list[str] = Field(description="PNG files in base64.")
    parameters: dict[str, Any] = Field(description="The request as it was understood.")
    info: str = Field(description="A JSON object as a string: what was made, with seeds and `adjusted`.")


class Checkpoint(_Reply):
    title: str
    model_name: str
    hash: str | None
    sha256: str | None
    filename: str
    config: str | None


class CurrentOptions(_Reply):
    sd_model_checkpoint: str | None
    sd_checkpoint_hash: str
    sd_vae: str
    CLIP_stop_at_last_layers: int
    samples_format: str


class State(_Reply):
    skipped: bool
    interrupted: bool
    stopping_generation: bool
    job: str
    job_count: int = Field(ge=0)
    job_timestamp: str
    job_no: int = Field(ge=0)
    sampling_step: int = Field(ge=0)
    sampling_steps: int = Field(ge=0)


class Progress(_Reply):
    progress: float = Field(ge=0, le=1)
    eta_relative: float = Field(ge=0, description="Seconds; 0 where nothing is known.")
    state: State
    current_image: str | None = Field(description="A small WebP picture in base64.")
    current_task: str | None
    textinfo: str | None


class Sampler(_Reply):
    name: str
    aliases: list[str]
    options: dict[str, str]


class Scheduler(_Reply):
    name: str
    label: str
    aliases: list[str] | None
    default_rho: float
    need_inner_model: bool


class Upscaler(_Reply):
    name: str
    model_name: str | None
    model_path: str | None
    model_url: str | None
    scale: float | None


class Memory(_Reply):
    ram: dict[str, float]
    cuda: dict[str, str]


class PngTexts(_Reply):
    info: str
    items: dict[str, str]
    parameters: dict[str, str]
