"""The models that this server offers: models.yaml and the environment, checked at the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from configs.env_models import env_entries, env_specs
from configs.errors import RegistryError
from configs.hardware import visible_gpus
from configs.models import LocalSource, MaxBatch, ModelSpec, ModelType
from configs.settings import MODEL_SETS, Settings

BUILTIN_FILE = Path(__file__).with_name("models.yaml")


class Registry(Mapping[str, ModelSpec]):
    """Models by name, in the order of the file. Relative local paths have been made absolute."""

    def __init__(self, specs: Iterable[ModelSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}

    def __getitem__(self, name: str) -> ModelSpec:
        return self._specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def of_type(self, kind: ModelType) -> tuple[ModelSpec, ...]:
        return tuple(spec for spec in self.values() if spec.type == kind)

    def default(self, kind: ModelType = "image") -> ModelSpec | None:
        """The first model of that type that may be downloaded; None if there is none."""
        return next((spec for spec in self.of_type(kind) if spec.download_enabled), None)


def load_registry(settings: Settings, environ: Mapping[str, str] | None = None) -> Registry:
    """The models of `settings.models`, then those of MODEL_<N> variables, which replace same-named ones.

    `auto` means the full-size models on a machine with a GPU and the bundled demos on one without.
    `environ` stands in for the process environment and `.env`.

    Raises:
        RegistryError: says the file, the entry and the field.
    """
    builtin = read_models(BUILTIN_FILE)
    choice = settings.models
    if choice in MODEL_SETS:
        demo = choice == "demo" or (choice == "auto" and not visible_gpus())
        chosen = [spec for spec in builtin if spec.demo == demo]
    else:
        chosen = read_models(Path(choice))
    extra = env_specs(env_entries(environ), templates=builtin)
    names = {spec.name for spec in extra}
    specs = [*extra, *(spec for spec in chosen if spec.name not in names)]
    registry = Registry(specs if settings.batching else map(_unbatched, specs))
    if not registry:
        raise RegistryError(file=str(settings.models), entry="", field="models", problem="no model is listed")
    return registry


def _unbatched(spec: ModelSpec) -> ModelSpec:
    return spec.model_copy(update={"max_batch": MaxBatch(count=1)})


def read_models(file: Path) -> list[ModelSpec]:
    """The specs of a models.yaml: a mapping `models` of name to entry. Raises RegistryError."""
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(file=str(file), entry="", field="", problem=f"cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise RegistryError(file=str(file), entry="", field="", problem=f"is not YAML: {error}") from error
    models = document.get("models") if isinstance(document, dict) else None
    if not isinstance(models, dict) or not models:
        raise RegistryError(file=str(file), entry="", field="models", problem="must map names to models")
    return [_read_entry(file, str(name), entry) for name, entry in models.items()]


def _read_entry(file: Path, name: str, entry: Any) -> ModelSpec:
    if not isinstance(entry, dict):
        raise RegistryError(file=str(file), entry=name, field="", problem="must be a mapping")
    try:
        spec = ModelSpec.model_validate({"name": name, **entry})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise RegistryError(file=str(file), entry=name, field=field, problem=first["msg"]) from error
    return _with_absolute_paths(spec, file.parent)


def _with_absolute_paths(spec: ModelSpec, folder: Path) -> ModelSpec:
    changes: dict[str, Any] = {}
    if isinstance(spec.source, LocalSource):
        changes["source"] = LocalSource(path=str(_absolute(spec.source.path, folder)))
    if spec.transformer is not None and getattr(spec.transformer, "path", None):
        path = str(_absolute(str(spec.transformer.path), folder))  # type: ignore[union-attr]
        changes["transformer"] = spec.transformer.model_copy(update={"path": path})
    return spec.model_copy(update=changes) if changes else spec


def _absolute(path: str, folder: Path) -> Path:
    return (folder / Path(path).expanduser()).resolve()
