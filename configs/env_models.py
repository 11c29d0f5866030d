"""Models named by the earlier server's variables: MODEL_<N>, DOWNLOAD_MODEL_<N>, MODEL_T2V, MODEL_I2V."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dotenv import dotenv_values
from pydantic import ValidationError

from configs.errors import RegistryError
from configs.models import (
    FamilyName,
    FloatRange,
    GgufSource,
    HuggingFaceSource,
    IntRange,
    LocalSource,
    ModelSpec,
    ModelType,
    Source,
)
from configs.settings import DOTENV

_VARIABLE = re.compile(r"MODEL_(\d+|T2V|I2V)")
_GGUF_BITS = re.compile(r"(?<![a-z\d])I?Q(\d)(?!\d)", re.IGNORECASE)
_HUB_FILE = re.compile(
    r"https?://[^/]+/(?P<repo>[^/]+/[^/]+)/(?:resolve|blob)/(?P<revision>[^/]+)/(?P<file>.+)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvEntry:
    """One MODEL_<N> variable, split into its parts."""

    variable: str
    name: str
    repo: str
    description: str
    source: str
    requires_auth: bool
    options: dict[str, Any]
    download_enabled: bool

    @property
    def type(self) -> ModelType:
        """From the options, else the name, else the variable's own, else image."""
        declared = self.options.get("type")
        if declared in ("image", "t2v", "i2v"):
            return declared  # type: ignore[no-any-return]
        for text in (self.name.lower(), self.variable.lower()):
            if "i2v" in text:
                return "i2v"
            if "t2v" in text:
                return "t2v"
        return "image"

    def error(self, field: str, problem: str) -> RegistryError:
        return RegistryError(file=self.variable, entry=self.name, field=field, problem=problem)


def env_entries(environ: Mapping[str, str] | None = None) -> list[EnvEntry]:
    """The MODEL_<N> variables of the environment, then of `.env`, in the order of their numbers."""
    if environ is None:
        environ = model_variables()
    found = [name for name in _of_models(environ) if _VARIABLE.fullmatch(name)]
    return [_entry(name, environ) for name in sorted(found, key=_by_number)]


def model_variables() -> dict[str, str]:
    """Every MODEL_<N> and DOWNLOAD_MODEL_<N> of the environment and of `.env`, their paths made absolute."""
    found = {**_of_models(dotenv_values(DOTENV)), **_of_models(os.environ)}
    return {name: _with_absolute_path(value) for name, value in found.items()}


def env_specs(entries: Iterable[EnvEntry], *, templates: Iterable[ModelSpec]) -> list[ModelSpec]:
    """Each entry as a spec: the built-in model of the same repository or family, changed by the entry."""
    known = [spec for spec in templates if not spec.demo]
    return [_spec(entry, known) for entry in entries]


def _of_models(variables: Mapping[str, str | None]) -> dict[str, str]:
    """Those of models. Empty ones are as if unset: so docker compose passes on what is not set."""
    return {
        name: value
        for name, value in variables.items()
        if value and _bare(value) and _VARIABLE.fullmatch(name.removeprefix("DOWNLOAD_"))
    }


def _with_absolute_path(value: str) -> str:
    name, *rest = value.split(";", 4)
    if len(rest) == 4 and _is_path(rest[0].strip(), source=rest[2].strip()):
        rest[0] = _absolute(rest[0].strip())
    return ";".join([name, *rest])


def _is_path(repo: str, *, source: str) -> bool:
    return source == "local" or (source == "gguf_url" and repo.endswith(".gguf") and "://" not in repo)


def _bare(value: str) -> str:
    """Without the quotes that an env file kept."""
    return value.strip().strip("\"'")


def _by_number(variable: str) -> tuple[int, str]:
    suffix = variable.removeprefix("MODEL_")
    return (int(suffix), "") if suffix.isdigit() else (1 << 30, suffix)


def _entry(variable: str, environ: Mapping[str, str]) -> EnvEntry:
    text = _bare(environ[variable]).replace('\\"', '"')
    parts = [part.strip() for part in text.split(";", 5)]
    if len(parts) == 1 and "/" in text:
        parts = [text.rsplit("/", 1)[1].lower(), text, "", "huggingface", "false"]
    if len(parts) < 5:
        problem = "must be name;repo;description;source;requires_auth[;options_json]"
        raise RegistryError(file=variable, entry=parts[0], field="", problem=problem)
    download = _bare(environ.get(f"DOWNLOAD_{variable}", "true")).lower()
    return EnvEntry(
        variable=variable,
        name=parts[0],
        repo=parts[1],
        description=parts[2],
        source=parts[3],
        requires_auth=parts[4].lower() in ("true", "1", "yes"),
        options=_options(variable, parts[0], parts[5] if len(parts) > 5 else ""),
        download_enabled=download not in ("false", "0", "no"),
    )


def _options(variable: str, name: str, text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        options = json.loads(text)
    except ValueError as error:
        problem = f"is not JSON: {error}"
        raise RegistryError(file=variable, entry=name, field="options_json", problem=problem) from error
    if not isinstance(options, dict):
        raise RegistryError(file=variable, entry=name, field="options_json", problem="must be a JSON object")
    return options


def _spec(entry: EnvEntry, known: list[ModelSpec]) -> ModelSpec:
    template = _template(entry, known)
    source, transformer = _sources(entry, template)
    try:
        return ModelSpec.model_validate(
            {
                **dict(template),
                "name": entry.name,
                "description": entry.description or template.description,
                "source": source,
                "transformer": transformer,
                "memory_gb": _memory_gb(template, transformer),
                "limits": _limits(entry, template),
                "download_enabled": entry.download_enabled,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise entry.error(".".join(str(part) for part in first["loc"]), first["msg"]) from error


def _template(entry: EnvEntry, known: list[ModelSpec]) -> ModelSpec:
    repo = _diffusers_repo(entry.repo)
    same = [spec for spec in known if spec.type == entry.type]
    family = _family(entry)
    alike = next(spec for spec in same if spec.family == family)
    return next((spec for spec in same if _own_repo(spec) == repo), alike)


def _own_repo(spec: ModelSpec) -> str | None:
    """The repository that this model and no other has; of a fine-tune, its transformer's."""
    match spec.transformer:
        case None:
            return spec.repo
        case HuggingFaceSource(repo=repo):
            return repo
    return None


def _family(entry: EnvEntry) -> FamilyName:
    text = f"{entry.name} {entry.repo}".lower()
    match entry.type:
        case "t2v":
            return "ltx_t2v" if "ltx" in text else "wan_t2v"
        case "i2v":
            return "ltx_i2v" if "ltx" in text else "wan_i2v"
        case "image" if "flux" in text:
            return "flux"
        case "image" if re.search(r"sd-?3|stable-diffusion-3", text):
            return "sd35"
    problem = f"{entry.repo} is of no family served here (FLUX, SD 3.5, Wan, LTX); remove the entry"
    raise entry.error("repo", problem)


def _sources(entry: EnvEntry, template: ModelSpec) -> tuple[Source, Any]:
    match entry.source:
        case "huggingface":
            repo = _diffusers_repo(entry.repo)
            if repo == _own_repo(template):
                return template.source, template.transformer
            return HuggingFaceSource(repo=repo, requires_auth=entry.requires_auth), None
        case "local":
            return LocalSource(path=_absolute(entry.repo)), None
        case "gguf_url":
            return template.source, _gguf(entry)
    raise entry.error("source", f"{entry.source!r} is not served here; use huggingface, gguf_url or local")


def _memory_gb(template: ModelSpec, transformer: Any) -> float:
    """The template's, of 16 bits a weight, less what a GGUF file of fewer saves.

    Its name says how many: `flux1-dev-Q4_K_S.gguf`. Scales take up to one more (gguf.GGML_QUANT_SIZES).
    """
    if not isinstance(transformer, GgufSource):
        return template.memory_gb
    bits = _GGUF_BITS.search(Path(transformer.path or transformer.file or "").name)
    share = (int(bits[1]) + 1) / 16 if bits else 1
    return round(template.memory_gb - template.transformer_gb * (1 - share), 1)


def _gguf(entry: EnvEntry) -> GgufSource:
    if match := _HUB_FILE.fullmatch(entry.repo.split("?")[0]):
        return GgufSource(**match.groupdict())
    if _is_path(entry.repo, source=entry.source):
        return GgufSource(path=_absolute(entry.repo))
    raise entry.error("repo", f"{entry.repo} is not the address of a file on the Hugging Face Hub")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _diffusers_repo(repo: str) -> str:
    """Wan-AI's repositories without this ending hold the original checkpoints: diffusers cannot load them."""
    return f"{repo}-Diffusers" if repo.startswith("Wan-AI/") and not repo.endswith("-Diffusers") else repo


_Range = TypeVar("_Range", IntRange, FloatRange)
_RANGES = {"steps": "steps", "guidance": "guidance", "frames": "frames"}
_DEFAULTS = {"width": "width", "height": "height", "num_frames": "frames", "guidance_scale": "guidance"}


def _limits(entry: EnvEntry, template: ModelSpec) -> dict[str, Any]:
    limits = dict(template.limits)
    for key, change in _changes(entry):
        field = _RANGES.get(key) or _DEFAULTS[key]
        if limits[field] is not None:
            limits[field] = _changed(entry, key, limits[field], change)
    return limits


def _changes(entry: EnvEntry) -> Iterator[tuple[str, dict[str, Any]]]:
    """The options that concern limits, each as changes of one range."""
    options = entry.options
    if isinstance(fixed := options.get("fixed_steps"), int):
        yield "steps", {"min": fixed, "max": fixed, "default": fixed}
    for key in _RANGES:
        if isinstance(options.get(key), dict):
            yield key, options[key]
    for key in _DEFAULTS:
        if key in options:
            yield key, {"default": options[key]}


def _changed(entry: EnvEntry, key: str, limit: _Range, change: dict[str, Any]) -> _Range:
    kept = {k: v for k, v in change.items() if k in type(limit).model_fields}
    try:
        return type(limit).model_validate({**dict(limit), **kept})
    except ValidationError as error:
        raise entry.error(f"options_json.{key}", error.errors()[0]["msg"]) from error
