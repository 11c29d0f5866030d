"""Bodies of the native API's requests, as far as they can be judged without knowing the model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from serve_app.api.errors import LONGEST_NAME, did_you_mean
from storage.tags import LONGEST_TAG, MOST_TAGS, Tag, key_of, tag_of

#: Seeds are kept small enough for JSON readers that hold numbers as doubles.
MAX_SEED = 2**53 - 16


def _number(value: Any) -> Any:
    """Numbers only: a string or a boolean that looks like one is a mistake of the client."""
    if isinstance(value, bool | str | bytes):
        raise ValueError("must be a number")
    return value


def _text(value: Any) -> Any:
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("must not contain the NUL character")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("is not valid Unicode text (a lone surrogate)") from None
    return value


def _moment(value: Any) -> Any:
    """Times in words only: Pydantic would take a number for seconds since 1970."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be a time such as 2026-01-31T23:59:00Z") from None


def _in_utc(value: datetime) -> datetime:
    """A time without a zone is meant in UTC."""
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("is before the year 1 or after the year 9999, in UTC") from None


NUMBER = BeforeValidator(_number)
Integer = Annotated[int, NUMBER]
Number = Annotated[float, NUMBER]
Text = Annotated[str, BeforeValidator(_text)]
#: Of a model, a job, a picture.
Name = Annotated[str, Field(max_length=200), BeforeValidator(_text)]
#: What the gallery is searched for.
Search = Annotated[
    str,
    Field(
        max_length=500,
        description='Words that all occur in prompt, model or seed; "seed:42" names the whole seed.',
    ),
    BeforeValidator(_text),
]
Moment = Annotated[datetime, BeforeValidator(_moment), AfterValidator(_in_utc)]
TagName = Annotated[
    Tag,
    Field(
        description=f"1 to {LONGEST_TAG} characters; capitals make no other tag, white space is collapsed.",
        examples=["sea"],
    ),
    BeforeValidator(_text),
    AfterValidator(tag_of),
]
TagNames = Annotated[list[TagName], Field(max_length=MOST_TAGS)]
# Limits stand before the validator, or the description of the API would lack them.
Seed = Annotated[int, Field(ge=-1, le=MAX_SEED, description="-1 or absent: a random one."), NUMBER]

Priority = Annotated[
    int,
    Field(
        ge=-100,
        le=100,
        description="Waiting jobs of a higher one go first. Below 0: when nothing else waits. "
        "Above 0: ahead of every client's, so where there are keys it wants an admin's.",
    ),
    NUMBER,
]

#: The hosts that are allowed are among the settings, so the description of the API has more of it.
WebhookUrl = Annotated[str, Field(max_length=2000), BeforeValidator(_text)]

#: Keys that earlier clients send inside `settings` and that the route decides itself.
_OVERRIDDEN = ("type", "source_image_id")


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    num_inference_steps: Integer | None = None
    guidance_scale: Number | None = None
    width: Integer | None = None
    height: Integer | None = None
    seed: Seed | None = None
    negative_prompt: Text | None = Field(default=None, description="For earlier clients; use the body's own.")

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        value = {key: item for key, item in value.items() if key not in _OVERRIDDEN}
        for key in value.keys() - cls.model_fields.keys():
            hint = did_you_mean(str(key), cls.model_fields)
            raise PydanticCustomError(
                "unknown_setting",
                "Unknown setting {key}: {hint}",
                {"key": repr(key[:LONGEST_NAME]), "hint": hint},
            )
        return value


class ImageSettings(_Settings):
    """Settings of a text-to-image job; what is absent is the model's default."""

    num_images: Annotated[int, Field(ge=1, le=8), NUMBER] | None = None
    max_sequence_length: Integer | None = None


class VideoSettings(_Settings):
    """Settings of a video job; what is absent is the model's default."""

    num_frames: Integer | None = None
    fps: Integer | None = None


class GenerateBody(BaseModel):
    """POST /api/generate."""

    model_config = ConfigDict(protected_namespaces=())
    model_id: Name = Field(examples=["demo-flux"])
    prompt: Text = Field(examples=["a large red circle on a blue background"])
    negative_prompt: Text | None = None
    settings: ImageSettings = Field(default_factory=ImageSettings)
    priority: Priority = 0
    webhook_url: WebhookUrl | None = None


class GenerateT2VBody(BaseModel):
    """POST /api/generate_t2v."""

    model_config = ConfigDict(protected_namespaces=())
    model_id: Name = Field(examples=["demo-wan-t2v"])
    prompt: Text = Field(examples=["a red circle moving to the right"])
    negative_prompt: Text | None = None
    settings: VideoSettings = Field(default_factory=VideoSettings)
    priority: Priority = 0
    webhook_url: WebhookUrl | None = None


class GenerateVideoBody(BaseModel):
    """POST /api/generate_video."""

    source_image_id: Name
    video_model_id: Name = Field(examples=["demo-wan-i2v"])
    video_prompt: Text
    negative_prompt: Text | None = None
    settings: VideoSettings = Field(default_factory=VideoSettings)
    priority: Priority = 0
    webhook_url: WebhookUrl | None = None


class MoveBody(BaseModel):
    """POST /api/jobs/{id}/move."""

    before: Name | None = Field(description="The waiting job to run after this one; null for last.")


class MediaIds(BaseModel):
    """POST /api/batch_download and /api/batch_delete."""

    ids: Annotated[list[Name], Field(min_length=1, max_length=1000)]


class Tags(BaseModel):
    """PUT /api/media/{id}/tags."""

    tags: TagNames


class TagChanges(MediaIds):
    """POST /api/batch_tag."""

    add: TagNames = Field(default_factory=list)
    remove: TagNames = Field(default_factory=list)

    @model_validator(mode="after")
    def _some_change(self) -> Self:
        if not self.add and not self.remove:
            raise ValueError("Say which tags to add or to remove, in the lists add and remove")
        removed = {key_of(tag) for tag in self.remove}
        for tag in self.add:
            if key_of(tag) in removed:
                raise ValueError(f"The tag {tag!r} is both to be added and to be removed")
        return self
