"""Media files: the bytes behind the rows."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from storage.errors import DiskFull, MediaFileMissing, UnsafePath
from storage.media import MediaId, MediaType
from storage.thumbnails import image_thumbnail, poster_frame

_SUFFIXES: dict[MediaType, str] = {"image": ".png", "video": ".mp4"}
_THUMBNAILS = ".thumbnails"
_MEDIA_FILE = re.compile(r"\d{4}/\d\d/\d\d/[^/.][^/]*\.(png|mp4)")
_THUMBNAIL_FILE = re.compile(rf"{re.escape(_THUMBNAILS)}/(\d{{4}}/\d\d/\d\d/[^/.][^/]*)\.webp")
_UNFINISHED_FILE = re.compile(r"(.*/)?\.[^/]+\.[0-9a-f]{32}\.tmp")


class MediaFiles(Protocol):
    """Files by a path relative to one root. Blocking; call it from a thread."""

    def write(self, media_id: MediaId, media_type: MediaType, data: bytes, created_at: datetime) -> str:
        """Store a file, whole or not at all, and return its path, `YYYY/MM/DD/<id>.png` or `.mp4`.

        Raises DiskFull.
        """
        ...

    def path(self, relative: str) -> Path:
        """Where the file is on this machine, whether it exists or not. Raises UnsafePath."""
        ...

    def delete(self, relative: str) -> None:
        """Remove the file and its thumbnail; no error if they are gone already."""
        ...

    def write_thumbnail(self, relative: str, webp: bytes) -> None:
        """Store the thumbnail of a file."""
        ...

    def thumbnail(self, relative: str) -> Path:
        """Where the thumbnail is, a WebP file; made from the file when it is missing.

        Raises MediaFileMissing, MediaUnreadable.
        """
        ...

    def sweep(self, known: frozenset[str], *, older_than: datetime) -> tuple[str, ...]:
        """Remove what a process left that died between writing a file and committing its row.

        That is: unfinished files, media files that are not in `known`, and thumbnails without a file; each
        only when last changed before `older_than`. Returns the media files removed. Does nothing when
        `known` is empty: a folder full of media without one row belongs to another database.
        """
        ...


class LocalMediaFiles:
    """Implements MediaFiles in a folder of this machine."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()

    def write(self, media_id: MediaId, media_type: MediaType, data: bytes, created_at: datetime) -> str:
        folder = created_at.astimezone(UTC).strftime("%Y/%m/%d")
        relative = f"{folder}/{media_id}{_SUFFIXES[media_type]}"
        if not _MEDIA_FILE.fullmatch(relative):
            raise UnsafePath(f"{media_id!r} cannot be a file's name.")
        _write_whole(self.path(relative), data)
        return relative

    def path(self, relative: str) -> Path:
        try:
            path = (self._root / relative).resolve()
        except (ValueError, OSError, RuntimeError) as error:
            raise UnsafePath from error
        if path == self._root or not path.is_relative_to(self._root):
            raise UnsafePath
        return path

    def delete(self, relative: str) -> None:
        self.path(relative).unlink(missing_ok=True)
        self._thumbnail_path(relative).unlink(missing_ok=True)

    def write_thumbnail(self, relative: str, webp: bytes) -> None:
        _write_whole(self._thumbnail_path(relative), webp)

    def thumbnail(self, relative: str) -> Path:
        thumbnail = self._thumbnail_path(relative)
        if not thumbnail.exists():
            self.write_thumbnail(relative, self._make_thumbnail(relative))
            if not self.path(relative).exists():  # deleted meanwhile, and `delete` met no thumbnail yet
                thumbnail.unlink(missing_ok=True)
                raise MediaFileMissing
        return thumbnail

    def sweep(self, known: frozenset[str], *, older_than: datetime) -> tuple[str, ...]:
        removed: list[str] = []
        for relative in self._stale_files(older_than) if known else ():
            if _is_orphan(relative, known):
                (self._root / relative).unlink(missing_ok=True)
                removed.append(relative)
        return tuple(sorted(filter(_MEDIA_FILE.fullmatch, removed)))

    def _make_thumbnail(self, relative: str) -> bytes:
        try:
            data = self.path(relative).read_bytes()
        except FileNotFoundError as error:
            raise MediaFileMissing from error
        return poster_frame(data) if relative.endswith(_SUFFIXES["video"]) else image_thumbnail(data)

    def _thumbnail_path(self, relative: str) -> Path:
        inside = self.path(relative).relative_to(self._root)
        return self._root / _THUMBNAILS / inside.with_suffix(".webp")

    def _stale_files(self, older_than: datetime) -> Iterator[str]:
        for folder, _, names in os.walk(self._root):
            for path in (Path(folder, name) for name in names):
                if _changed_before(path, older_than):
                    yield path.relative_to(self._root).as_posix()


def _is_orphan(relative: str, known: frozenset[str]) -> bool:
    """Whether a file of ours serves nothing. Files that people put beside ours are not ours."""
    if _UNFINISHED_FILE.fullmatch(relative):
        return True
    if thumbnail := _THUMBNAIL_FILE.fullmatch(relative):
        return not any(thumbnail[1] + suffix in known for suffix in _SUFFIXES.values())
    return _MEDIA_FILE.fullmatch(relative) is not None and relative not in known


def _changed_before(path: Path, moment: datetime) -> bool:
    try:
        return path.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False


def _write_whole(path: Path, data: bytes) -> None:
    """Temp file, fsync, rename, fsync of the folder: after a power cut the file is complete or absent."""
    unfinished = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    with _disk_full_told():
        _make_folder(path.parent)
        try:
            _write_synced(unfinished, data)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def _write_synced(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    # Windows keeps folders in order itself and opens none.
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _disk_full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull from error
        raise
