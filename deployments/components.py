"""What the components of a pipeline are loaded from, to tell which of them two models share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from configs.models import ModelSpec
from deployments.loading import ModelFiles, component_kinds
from deployments.recipe import Recipe

#: Never shared: a scheduler remembers the steps of its call, and a model may change its settings.
OWN = frozenset({"scheduler"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Equal for components that are equal once they are loaded.

    `kind` is library and class. `files` are those that it is loaded from: name, real path, size in bytes and
    time of the last change, so that one which was replaced since is another.
    """

    kind: tuple[str, str]
    dtype: torch.dtype
    files: frozenset[tuple[str, Path, int, int]]


def origins(recipe: Recipe, spec: ModelSpec, files: ModelFiles) -> dict[str, Origin]:
    """The origin of each component that another model could share; none where a folder has no index."""
    return {
        name: Origin(kind=kind, dtype=recipe.dtype_of(spec, name), files=_files(sources(name, files)))
        for name, kind in component_kinds(files.folder).items()
        if name not in OWN
    }


def shared(mine: Mapping[str, Origin], others: Mapping[str, Origin]) -> set[str]:
    """Names of the components that both have from the same origin."""
    return {name for name, origin in mine.items() if others.get(name) == origin}


def sources(name: str, files: ModelFiles) -> Iterable[Path]:
    """Folders and files that the component is loaded from."""
    own = files.folder / name
    if name != "transformer" or files.transformer is None:
        return (own,)
    if files.transformer.is_file():
        return (files.transformer, own / "config.json")
    below = files.transformer / name
    return (below if below.is_dir() else files.transformer,)


def _files(sources: Iterable[Path]) -> frozenset[tuple[str, Path, int, int]]:
    found = (file for source in sources for file in (source, *source.resolve().rglob("*")))
    return frozenset(_mark(file) for file in found if file.is_file())


def _mark(file: Path) -> tuple[str, Path, int, int]:
    status = file.stat()
    return file.name, file.resolve(), status.st_size, status.st_mtime_ns
