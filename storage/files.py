"""Media files: the bytes behind the rows."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from storage.errors import DiskFull, MediaFileMissing, MediaUnreadable, UnsafePath
from storage.media import Life, MediaId, MediaType
from storage.thumbnails import image_thumbnail, poster_frame
from storage.wholeness import is_whole

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

    def whole(self, relative: str) -> Path:
        """Where the file is. Raises MediaFileMissing, MediaUnreadable for one that is plainly damaged."""
        ...

    def delete(self, relative: str) -> None:
        """Remove the file and its thumbnail; no error if they are gone already."""
        ...

    def size(self, relative: str) -> int:
        """Bytes that deleting the file would free, its thumbnail's included."""
        ...

    def total(self, known: frozenset[str]) -> int:
        """Bytes of these files with their thumbnails; what else lies in the folder does not count."""
        ...

    def free(self) -> int:
        """Bytes that can still be written."""
        ...

    def write_thumbnail(self, relative: str, webp: bytes) -> None:
        """Store the thumbnail of a file."""
        ...

    def thumbnail(self, relative: str) -> Path:
        """Where the thumbnail is, a WebP file; made from the file when it is missing or damaged.

        Raises MediaFileMissing, MediaUnreadable.
        """
        ...

    def strangers(self, known: frozenset[str], *, older_than: datetime) -> tuple[str, ...]:
        """Media files, by their names made here, that are not in `known`; in the order of their days.

        Only those last changed before `older_than`: a younger one may be about to get its row.
        """
        ...

    def sweep(self, known: frozenset[str], *, older_than: datetime, lives: Sequence[Life]) -> tuple[str, ...]:
        """Remove what a process left that died between writing a file and committing its row.

        That is: unfinished files, media files that are not in `known`, and thumbnails without a file; each
        only when last changed before `older_than`, and while one of these servers ran. Returns the media
        files removed.
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

    def whole(self, relative: str) -> Path:
        path = self.path(relative)
        try:
            if is_whole(path):
                return path
        except FileNotFoundError as error:
            raise MediaFileMissing from error
        except OSError as error:
            raise MediaUnreadable(f"The media file cannot be read: {error.strerror}.") from error
        raise MediaUnreadable("The media file is damaged.")

    def size(self, relative: str) -> int:
        return sum(map(_size, (self.path(relative), self._thumbnail_path(relative))))

    def total(self, known: frozenset[str]) -> int:
        stems = {relative.rpartition(".")[0] for relative in known}
        return sum(facts.st_size for path, facts in self._all() if self._stem(path) in stems)

    def _stem(self, path: Path) -> str:
        """Of a file or its thumbnail, the path without what tells them apart."""
        relative = path.relative_to(self._root).with_suffix("").as_posix()
        return relative.removeprefix(f"{_THUMBNAILS}/")

    def free(self) -> int:
        return shutil.disk_usage(self._root).free

    def delete(self, relative: str) -> None:
        self.path(relative).unlink(missing_ok=True)
        self._thumbnail_path(relative).unlink(missing_ok=True)

    def write_thumbnail(self, relative: str, webp: bytes) -> None:
        _write_whole(self._thumbnail_path(relative), webp)

    def thumbnail(self, relative: str) -> Path:
        thumbnail = self._thumbnail_path(relative)
        if not (thumbnail.exists() and is_whole(thumbnail)):
            self.write_thumbnail(relative, self._make_thumbnail(relative))
            if not self.path(relative).exists():  # deleted meanwhile, and `delete` met no thumbnail yet
                thumbnail.unlink(missing_ok=True)
                raise MediaFileMissing
        return thumbnail

    def strangers(self, known: frozenset[str], *, older_than: datetime) -> tuple[str, ...]:
        old = self._files_changed_before(older_than)
        return tuple(sorted(name for name, _ in old if _MEDIA_FILE.fullmatch(name) and name not in known))

    def sweep(self, known: frozenset[str], *, older_than: datetime, lives: Sequence[Life]) -> tuple[str, ...]:
        removed: list[str] = []
        for relative, changed_at in self._files_changed_before(older_than):
            if _is_orphan(relative, known) and any(changed_at in life for life in lives):
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

    def _files_changed_before(self, moment: datetime) -> Iterator[tuple[str, datetime]]:
        """Their paths, and when they were last changed."""
        for path, facts in self._all():
            if facts.st_mtime < moment.timestamp():
                changed_at = datetime.fromtimestamp(facts.st_mtime, UTC)
                yield path.relative_to(self._root).as_posix(), changed_at

    def _all(self) -> Iterator[tuple[Path, os.stat_result]]:
        for folder, _, names in os.walk(self._root):
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    yield path, path.stat()


def _is_orphan(relative: str, known: frozenset[str]) -> bool:
    """Whether a file of ours serves nothing. Files that people put beside ours are not ours."""
    if _UNFINISHED_FILE.fullmatch(relative):
        return True
    if thumbnail := _THUMBNAIL_FILE.fullmatch(relative):
        return not any(thumbnail[1] + suffix in known for suffix in _SUFFIXES.values())
    return _MEDIA_FILE.fullmatch(relative) is not None and relative not in known


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


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
