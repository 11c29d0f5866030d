"""Folders of model files on this machine, and the Hugging Face cache's layout for those of the Hub.

The cache (https://huggingface.co/docs/huggingface_hub/guides/manage-cache) keeps, for each repository,
blobs/<digest>, snapshots/<commit>/<name> as links to blobs, and refs/<revision> with a commit. Unfinished
blobs end in .incomplete. Ours besides: listings/<commit>.json, all files of a commit, by which a snapshot is
known to be complete without asking the Hub.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.file_download import repo_folder_name

from deployments.errors import BrokenWeights
from deployments.weights.parts import HubPlace

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DEPTH = 3


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Files below a folder; names are relative, with forward slashes."""

    root: Path

    def names(self) -> frozenset[str]:
        """Files at most _DEPTH folders deep. Links to folders are followed: fine-tunes share encoders."""
        return frozenset(_files_below(self.root, "", _DEPTH))

    def size(self, name: str) -> int | None:
        """In bytes; None where there is no such file."""
        return _size(self.root / name)

    def read_json(self, name: str) -> Any:
        try:
            return json.loads((self.root / name).read_bytes())
        except (OSError, ValueError) as error:
            raise BrokenWeights(f"{self.root / name} cannot be read as JSON.") from error


@dataclass(frozen=True, kw_only=True)
class HubFile:
    """A file of a commit."""

    name: str
    size: int
    digest: str
    """SHA-256 of a file in LFS or Xet, git's SHA-1 of any other."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One commit of a repository in the cache."""

    place: HubPlace
    commit: str
    storage: Path

    @property
    def folder(self) -> Folder:
        return Folder(root=self.storage / "snapshots" / self.commit)

    def has(self, file: HubFile) -> bool:
        return self.folder.size(file.name) == file.size

    def has_blob(self, file: HubFile) -> bool:
        return _size(self.blob(file)) == file.size

    def blob(self, file: HubFile) -> Path:
        return self.storage / "blobs" / file.digest

    def partial(self, file: HubFile) -> Path:
        return self.storage / "blobs" / f"{file.digest}.incomplete"

    def lock(self, file: HubFile) -> Path:
        """The path that huggingface_hub locks for this blob."""
        return self.storage.parent / ".locks" / self.storage.name / f"{file.digest}.lock"

    def bytes_present(self, file: HubFile) -> int:
        """With what there is of an unfinished download."""
        paths = (self.folder.root / file.name, self.blob(file), self.partial(file))
        size = next((size for path in paths if (size := _size(path)) is not None), 0)
        return min(size, file.size)

    def link(self, file: HubFile) -> None:
        """Make the finished blob appear under its name."""
        pointer, blob = self.folder.root / file.name, self.blob(file)
        pointer.parent.mkdir(parents=True, exist_ok=True)
        fresh = pointer.with_name(f"{pointer.name}.{uuid.uuid4().hex}")
        try:
            fresh.symlink_to(os.path.relpath(blob, pointer.parent))
        except OSError:  # No symbolic links on this filesystem.
            shutil.copyfile(blob, fresh)
        fresh.replace(pointer)

    def listing(self) -> dict[str, HubFile] | None:
        """Every file of the commit by its name; None where it was not downloaded by us."""
        try:
            rows = json.loads(self._listing_path.read_bytes())["files"]
            return {name: HubFile(name=name, size=size, digest=digest) for name, size, digest in rows}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remember(self, files: Iterable[HubFile]) -> None:
        """Store the listing and which commit the revision is."""
        self.folder.root.mkdir(parents=True, exist_ok=True)
        rows = [(file.name, file.size, file.digest) for file in files]
        _write(self._listing_path, json.dumps({"files": rows}))
        if self.place.revision != self.commit:
            _write(self.storage / "refs" / self.place.revision, self.commit)

    @property
    def _listing_path(self) -> Path:
        return self.storage / "listings" / f"{self.commit}.json"


def snapshot_of(cache: Path, place: HubPlace, commit: str) -> Snapshot:
    name = repo_folder_name(repo_id=place.repo, repo_type=constants.REPO_TYPE_MODEL)
    return Snapshot(place=place, commit=commit, storage=cache / name)


def cached_snapshot(cache: Path, place: HubPlace) -> Snapshot | None:
    """The commit that the revision was when it was last downloaded."""
    if _COMMIT.fullmatch(place.revision):
        return snapshot_of(cache, place, place.revision)
    storage = snapshot_of(cache, place, "").storage
    try:
        commit = (storage / "refs" / place.revision).read_text().strip()
    except OSError:
        return None
    return snapshot_of(cache, place, commit) if _COMMIT.fullmatch(commit) else None


def known_files(snapshot: Snapshot) -> Mapping[str, HubFile]:
    """The commit's listing, or else what of it is on this machine."""
    listing = snapshot.listing()
    if listing is not None:
        return listing
    folder = snapshot.folder
    sizes = {name: folder.size(name) for name in folder.names()}
    return {n: HubFile(name=n, size=size, digest="") for n, size in sizes.items() if size is not None}


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _files_below(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    if not folder.is_dir():
        return
    for entry in os.scandir(folder):
        if not entry.is_dir():
            yield prefix + entry.name
        elif depth:
            yield from _files_below(folder / entry.name, f"{prefix}{entry.name}/", depth - 1)


def _write(path: Path, text: str) -> None:
    """Whole or not at all: another process may read or write the same file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
    fresh.write_text(text)
    fresh.replace(path)
