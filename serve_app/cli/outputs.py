"""Finished outputs as files: their names, and how they get to the disk."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

from serve_app.cli.client import Client
from serve_app.cli.errors import CommandError
from serve_app.cli.job_view import JobView, MediaView

SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "video/mp4": ".mp4"}


def save_outputs(client: Client, job: JobView, folder: Path) -> list[Path]:
    """Download all outputs of a job into `folder`; their paths, in order. Raises CommandError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_save(client, job, media, folder) for media in job.media]
    except OSError as error:
        hint = f"the outputs are kept on the server: `cyberimage jobs` shows job {job.id}"
        raise CommandError(f"cannot write to {folder}: {error.strerror or error}", hint=hint) from error


def file_name(job: JobView, media: MediaView, content_type: str) -> str:
    """`<date>-<model>-<seed>` with the suffix of the content type. Date in UTC; safe as a file name."""
    fallback = ".mp4" if media.media_type == "video" else ".png"
    suffix = SUFFIXES.get(content_type.partition(";")[0].strip().lower(), fallback)
    model = re.sub(r"[^\w.-]+", "-", job.model).strip(".-") or "output"
    seed = media.id[:8] if media.seed is None else str(media.seed)
    return f"{_date(media.created_at or job.created_at)}-{model}-{re.sub(r'[^0-9A-Za-z-]', '', seed)}{suffix}"


def _date(timestamp: str) -> str:
    try:
        return datetime.fromisoformat(timestamp).astimezone(UTC).date().isoformat()
    except ValueError:
        return datetime.now(UTC).date().isoformat()


def _save(client: Client, job: JobView, media: MediaView, folder: Path) -> Path:
    part = folder / f".cyberimage-{os.getpid()}.part"
    try:
        with client.media(media) as reply:
            name = file_name(job, media, reply.headers.get("content-type", ""))
            with part.open("wb") as file:
                for chunk in reply.iter_bytes():
                    file.write(chunk)
        return _move_to_free_name(part, folder / name)
    finally:
        part.unlink(missing_ok=True)


def _move_to_free_name(part: Path, wanted: Path) -> Path:
    """Never replaces a file: `name.png`, else `name-2.png`, `name-3.png`, ..."""
    target, number = wanted, 1
    while True:
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            number += 1
            target = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
        else:
            return part.replace(target)
