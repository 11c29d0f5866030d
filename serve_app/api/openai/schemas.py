"""Bodies of this API's requests, as far as they can be judged without knowing the model.

Fields that are not known are ignored, as the clients of this API send many.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from serve_app.api.schemas import MAX_SEED, Integer, Name, Number, Seed, Text

OutputFormat = Literal["png", "jpeg", "webp"]
#: Quality of a JPEG or WebP; above the one that is taken if none is asked for, files only grow.
QUALITY = 95
Compression = Annotated[int, Field(ge=0, le=100)]

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
_SIZE_PATTERN = r"^(auto|[0-9]{1,5}x[0-9]{1,5})$"

Size = Annotated[str, Field(pattern=_SIZE_PATTERN, examples=["auto", "128x128"])]


def parse_size(size: str | None) -> tuple[int, int] | None:
    """Width and height; None for `auto`: the model's own size."""
    match = _SIZE.fullmatch(size or "auto")
    return (int(match[1]), int(match[2])) if match else None


class ImagesBody(BaseModel):
    """POST /v1/images/generations."""

    model_config = ConfigDict(protected_namespaces=(), allow_inf_nan=False)

    prompt: Text = Field(examples=["a large red circle on a blue background"])
    model: Name | None = Field(default=None, description="Absent: the server's first that makes pictures.")
    n: Annotated[int, Field(ge=1, le=10)] | None = Field(default=None, description="Pictures; absent: 1.")
    size: Size | None = Field(default=None, description="WIDTHxHEIGHT, or auto: the model's own.")
    response_format: Literal["b64_json", "url"] | None = Field(default=None, description="Absent: b64_json.")
    output_format: OutputFormat | None = Field(default=None, description="Absent: png.")
    output_compression: Compression | None = Field(
        default=None, description="Quality of a JPEG or WebP; absent: 95."
    )
    stream: bool | None = Field(default=None, description="Answer with server-sent events.")
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = Field(
        default=None, description="How many unfinished pictures a stream shows at most."
    )
    seed: Seed | None = None
    negative_prompt: Text | None = None
    num_inference_steps: Integer | None = None
    guidance_scale: Number | None = None

    @property
    def file_format(self) -> OutputFormat:
        return self.output_format or "png"

    @property
    def quality(self) -> int:
        """Of a JPEG or WebP."""
        return QUALITY if self.output_compression is None else self.output_compression


def _as_sent_in_a_form(value: Any) -> Any:
    """Numbers may come as text, but no truth value is one."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


_LENIENT = BeforeValidator(_as_sent_in_a_form)
_FormInteger = Annotated[int, Field(ge=0, le=1_000_000), _LENIENT]


class InputReference(BaseModel):
    """The picture that a clip begins with."""

    image_url: Text | None = Field(default=None, description="A data: URL. Other addresses are not fetched.")
    file_id: Name | None = Field(default=None, description="The id of a picture that was made or sent here.")

    @model_validator(mode="before")
    @classmethod
    def _address_alone(cls, value: Any) -> Any:
        return {"image_url": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _names_one(self) -> InputReference:
        if (self.image_url is None) == (self.file_id is None):
            raise ValueError("wants either image_url or file_id")
        return self


class VideoBody(BaseModel):
    """POST /v1/videos."""

    model_config = ConfigDict(protected_namespaces=(), allow_inf_nan=False)

    prompt: Text = Field(examples=["a large red circle moving right on a blue background"])
    model: Name | None = Field(
        default=None, description="Absent: the server's first that makes clips, or animates the reference."
    )
    seconds: Annotated[float, Field(gt=0, le=3600), _LENIENT] | None = Field(
        default=None, description="Length; the nearest that the model can make is made.", examples=["4"]
    )
    size: Size | None = Field(default=None, description="WIDTHxHEIGHT, or auto: the model's own.")
    input_reference: InputReference | None = None
    num_frames: _FormInteger | None = Field(default=None, description="Exactly so many; beats seconds.")
    fps: _FormInteger | None = None
    seed: Annotated[int, Field(ge=-1, le=MAX_SEED), _LENIENT] | None = None
    negative_prompt: Text | None = None
    num_inference_steps: _FormInteger | None = None
    guidance_scale: Annotated[float, _LENIENT] | None = None
