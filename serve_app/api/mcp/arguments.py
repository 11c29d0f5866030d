"""Arguments of the tools, as language models are told of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from serve_app.api.schemas import NUMBER, ImageSettings, Name, Search, TagNames, Text, VideoSettings

#: Many clients give up a call after a minute.
DEFAULT_WAIT_S = 50
LONGEST_WAIT_S = 3600

MODEL = "A name from list_models; absent: this server's default."
NEGATIVE = "What should not be in it; models that take none ignore it."
WAIT = (
    "Seconds to wait for the result. When they are over, the call answers with the job as it is, and "
    "job_status can be asked again; 0 answers at once."
)

Wait = Annotated[float, Field(ge=0, le=LONGEST_WAIT_S, description=WAIT), NUMBER]


class ListModels(BaseModel):
    """Nothing to choose."""


class GenerateImage(ImageSettings):
    prompt: Text = Field(description="What to paint.")
    model: Name | None = Field(default=None, description=MODEL)
    negative_prompt: Text | None = Field(default=None, description=NEGATIVE)
    wait_seconds: Wait = DEFAULT_WAIT_S


class GenerateVideo(VideoSettings):
    prompt: Text = Field(description="What is to be seen, and how it moves.")
    model: Name | None = Field(default=None, description=MODEL)
    negative_prompt: Text | None = Field(default=None, description=NEGATIVE)
    wait_seconds: Wait = DEFAULT_WAIT_S


class AnimateImage(VideoSettings):
    image_id: Name = Field(description="The id of a picture, from generate_image or list_recent.")
    prompt: Text = Field(description="How it is to move.")
    model: Name | None = Field(default=None, description=MODEL)
    negative_prompt: Text | None = Field(default=None, description=NEGATIVE)
    wait_seconds: Wait = DEFAULT_WAIT_S


class _Plain(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JobStatus(_Plain):
    job_id: Name
    wait_seconds: Wait = 0


class CancelJob(_Plain):
    job_id: Name


class ListRecent(_Plain):
    search: Search = ""
    tags: TagNames = Field(default_factory=list, description="Only what has all of these tags.")
    favorites: bool = Field(default=False, description="Only favourites.")
    type: Literal["image", "video"] | None = None
    limit: Annotated[int, Field(ge=1, le=50), NUMBER] = 10
