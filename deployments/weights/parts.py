"""What a model needs of which place: its pipeline, and perhaps another transformer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from configs.models import GgufSource, HuggingFaceSource, LocalSource, ModelSpec, TransformerSource

Shape = Literal["pipeline", "model", "file"]


@dataclass(frozen=True, kw_only=True)
class HubPlace:
    """A repository of the Hub at a revision."""

    repo: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class Part:
    """Something of a model that comes from one place."""

    place: HubPlace | Path
    """A repository, or a folder of this machine."""

    shape: Shape
    """A folder with model_index.json, a folder with one component, or a single file."""

    inside: str = ""
    """The folder or the file within `place`, with forward slashes."""

    without_transformer: bool = False
    """The transformer's weights come from another part."""

    def name(self, relative: str) -> str:
        """The path within `place` of a path within this part."""
        return str(PurePosixPath(self.inside) / relative)

    def location(self, root: Path) -> Path:
        """What to load, where `root` is the local copy of `place`."""
        return root / self.inside


def parts_of(spec: ModelSpec, registry_dir: Path) -> tuple[Part, ...]:
    """The pipeline, and after it the transformer that replaces the pipeline's own, if any."""
    pipeline = _part(spec.source, "pipeline", registry_dir, without_transformer=spec.transformer is not None)
    if spec.transformer is None:
        return (pipeline,)
    return (pipeline, _part(spec.transformer, "model", registry_dir))


def _part(
    source: TransformerSource, shape: Shape, registry_dir: Path, *, without_transformer: bool = False
) -> Part:
    match source:
        case HuggingFaceSource():
            return Part(
                place=HubPlace(repo=source.repo, revision=source.revision),
                shape=shape,
                inside=source.subfolder or "",
                without_transformer=without_transformer,
            )
        case LocalSource():
            folder = _local_path(source.path, registry_dir)
            return Part(place=folder, shape=shape, without_transformer=without_transformer)
        case GgufSource():
            return _gguf_part(source, registry_dir)


def _gguf_part(source: GgufSource, registry_dir: Path) -> Part:
    if source.path is not None:
        path = _local_path(source.path, registry_dir)
        return Part(place=path.parent, shape="file", inside=path.name)
    assert source.repo is not None
    assert source.file is not None
    place = HubPlace(repo=source.repo, revision=source.revision)
    return Part(place=place, shape="file", inside=source.file)


def _local_path(path: str, registry_dir: Path) -> Path:
    return Path(os.path.abspath(registry_dir / Path(path).expanduser()))
