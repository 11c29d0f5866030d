"""Files that no row knows, as after the loss of a database: back into the gallery by what they carry.

Pictures have their metadata as JSON in the text chunk `cyberimage`, clips in the tag `comment`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import av
from PIL import Image

from storage.files import MediaFiles
from storage.jobs import Job, JobId, JobStatus, JobStore, JobType
from storage.media import Media, MediaId, MediaIndex, MediaType

#: Younger files are left to the server that runs: it removes what a run left that did not end in order.
SETTLED = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A file without a row. `media` is None where the file does not say how it was made."""

    file_path: str
    media: Media | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Content:
    width: int
    height: int
    metadata: dict[str, Any]


class Adoption:
    """Gives such files rows again. Each gets a completed job of its own, whose id is the medium's."""

    def __init__(self, jobs: JobStore, media: MediaIndex, files: MediaFiles) -> None:
        self._jobs = jobs
        self._media = media
        self._files = files

    def find(self, *, now: datetime, served: bool = True) -> Iterator[Found]:
        """The files without a row, oldest day first; none from the time since the first processing job began.

        `served`: a server is known to run on the database.
        """
        old = max(self._media.born, now - SETTLED) if served else now
        # Before the rows are read: a job that completes in between has its rows by then.
        since = self._jobs.processing_since()
        old = old if since is None else min(old, since)
        for file_path in self._files.strangers(self._media.file_paths(), older_than=old):
            yield Found(file_path=file_path, media=_read(self._files.path(file_path), file_path))

    def adopt(self, media: Media) -> bool:
        """False if it has a row by now."""
        return self._jobs.adopt(_job_of(media), media)


def _read(path: Path, file_path: str) -> Media | None:
    try:
        made_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        content = _clip(path) if path.suffix == ".mp4" else _picture(path)
    except (OSError, ValueError, SyntaxError, KeyError, IndexError, av.FFmpegError):
        return None
    if not _tells_all(content.metadata):
        return None
    media_id = PurePosixPath(file_path).stem
    media_type: MediaType = "video" if path.suffix == ".mp4" else "image"
    return Media(
        id=MediaId(media_id),
        job_id=media_id,
        media_type=media_type,
        file_path=file_path,
        created_at=made_at,
        width=content.width,
        height=content.height,
        metadata=content.metadata,
    )


def _picture(path: Path) -> _Content:
    with Image.open(path, formats=("PNG",)) as image:
        return _Content(width=image.width, height=image.height, metadata=_object(image.info["cyberimage"]))


def _clip(path: Path) -> _Content:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return _Content(
            width=stream.width, height=stream.height, metadata=_object(container.metadata["comment"])
        )


def _object(text: str) -> dict[str, Any]:
    """Raises ValueError."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def _tells_all(metadata: Mapping[str, Any]) -> bool:
    """Whether a job can be told from it. Other programs may write JSON there, too."""
    kinds = {"model_id": str, "prompt": str, "negative_prompt": str, "seed": int, "settings": dict}
    return all(isinstance(metadata.get(name), kind) for name, kind in kinds.items())


def _job_of(media: Media) -> Job:
    """A job that makes this output alone."""
    metadata = media.metadata
    settings = dict(metadata["settings"])
    if "num_images" in settings:
        settings["num_images"] = 1
    if "seed" in settings:
        settings["seed"] = metadata["seed"]
    return Job(
        id=JobId(media.id),
        status=JobStatus.COMPLETED,
        type=_type_of(media),
        model=metadata["model_id"],
        prompt=metadata["prompt"],
        negative_prompt=metadata["negative_prompt"],
        settings=settings,
        seed=metadata["seed"],
        created_at=media.created_at,
        started_at=media.created_at,
        completed_at=media.created_at,
        media_path=media.file_path,
        attempts=1,
    )


def _type_of(media: Media) -> JobType:
    if media.media_type == "image":
        return "image"
    return "i2v" if "source_image_id" in media.metadata else "t2v"
